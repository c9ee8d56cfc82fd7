"""The Automation API of the Python SDK, call by call, on the offline engine. ``test_surface`` makes every call; ``python -m
tests.unit.engine_cli.surface > docs/automation-api.md`` writes them down.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi as sdk
import pytest
from pulumi import automation as auto
from pulumi_command import local

from offline.engine import VERSION

PAGE: Final = """\
# The Automation API on the offline engine

Every public method of `LocalWorkspace` and `Stack` in the Python SDK, and every option of what changes a stack, called on the
offline engine. Made by `python -m tests.unit.engine_cli.surface > docs/automation-api.md`; `tests/unit/engine_cli/test_surface.py`
finds the methods by introspection, makes every call and compares this page. The Pulumi CLI does all of it.
"""


@dataclass(frozen=True)
class World:
    """A project with the stack ``dev``, which was brought up once."""

    stack: auto.Stack
    state: Path

    @property
    def workspace(self) -> auto.LocalWorkspace:
        workspace = self.stack.workspace
        assert isinstance(workspace, auto.LocalWorkspace)
        return workspace

    @property
    def checkpoint(self) -> Path:
        return self.state / ".pulumi/stacks/test" / f"{self.stack.name}.json"


@dataclass(frozen=True)
class Call:
    """One call.

    Args:
        name: class and method.
        make: makes the call and asserts its result.
        shows: what it asserts.
        missing: what the error names instead of a result; empty where the call works.
    """

    name: str
    make: Callable[[World], object]
    shows: str
    missing: str = ""


CALLS: Final[dict[str, Call]] = {}


def works(name: str, shows: str) -> Callable[[Callable[[World], None]], None]:
    def note(make: Callable[[World], None]) -> None:
        CALLS[name] = Call(name, make, shows)

    return note


def refused(name: str, missing: str, make: Callable[[World], object]) -> None:
    CALLS[name] = Call(name, make, "", missing)


def program() -> None:
    """Two resources and three outputs; no cluster is needed."""
    config = sdk.Config()
    told = local.Command(
        "told", create="echo hello", update="echo changed", triggers=[], environment={"SIZE": config.get("size") or "1"}
    )
    sdk.export("said", told.stdout)
    sdk.export("size", config.get_int("size") or 1)
    sdk.export("hidden", sdk.Output.secret("canary"))


def methods() -> Iterator[str]:
    """What the SDK has, by introspection."""
    for each in (auto.LocalWorkspace, auto.Stack):
        for name, _ in inspect.getmembers(each, lambda m: callable(m) or isinstance(m, property)):
            if not name.startswith("_"):
                yield f"{each.__name__}.{name}"


# --- what changes a stack ---------------------------------------------------------------------------------------------


@works("Stack.preview", "the change summary; an event for every step")
def _(world: World) -> None:
    events: list[Any] = []
    found = world.stack.preview(on_event=events.append)
    assert found.change_summary == {"same": 2}
    assert events[-1].cancel_event is not None


@works(
    "Stack.up", "summary, outputs with their secrecy, events and lines; an update in place after a change of settings"
)
def _(world: World) -> None:
    world.stack.set_config("size", auto.ConfigValue("2"))
    events: list[Any] = []
    lines: list[str] = []
    done = world.stack.up(message="bigger", on_event=events.append, on_output=lines.append)
    assert (done.summary.kind, done.summary.result, done.summary.message) == ("update", "succeeded", "bigger")
    assert done.summary.resource_changes == {"same": 1, "update": 1}
    assert {k: (v.value, v.secret) for k, v in done.outputs.items()} == {
        "said": ("changed", False), "size": (2, False), "hidden": ("canary", True),
    }  # fmt: skip
    assert any(e.res_outputs_event for e in events)
    assert any("1 updated" in line for line in lines)


@works("Stack.preview_refresh", "the change summary; the state is not written")
def _(world: World) -> None:
    before = world.checkpoint.read_bytes()
    assert world.stack.preview_refresh().change_summary == {"same": 2}
    assert world.checkpoint.read_bytes() == before


@works("Stack.refresh", "the summary")
def _(world: World) -> None:
    assert world.stack.refresh().summary.resource_changes == {"same": 2}


@works("Stack.preview_destroy", "what would be deleted; the state is not written")
def _(world: World) -> None:
    before = world.checkpoint.read_bytes()
    assert world.stack.preview_destroy().change_summary == {"delete": 2}
    assert world.checkpoint.read_bytes() == before


@works("Stack.cancel", "the stack's lock is gone")
def _(world: World) -> None:
    lock = world.state / ".pulumi/locks/organization/test" / world.stack.name / "x.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("{}")
    world.stack.cancel()
    assert not lock.exists()


refused("Stack.import_resources", "pulumi import", lambda w: w.stack.import_resources(resources=[]))


# --- stacks -----------------------------------------------------------------------------------------------------------


@works("LocalWorkspace.create_stack", "it exists and is empty")
def _(world: World) -> None:
    world.workspace.create_stack("made")
    assert "made" in {s.name for s in world.workspace.list_stacks()}
    world.workspace.remove_stack("made")
    world.workspace.select_stack(world.stack.name)


@works("LocalWorkspace.select_stack", "it is the current one")
def _(world: World) -> None:
    world.workspace.select_stack(world.stack.name)
    assert [s.name for s in world.workspace.list_stacks() if s.current] == [world.stack.name]


@works("LocalWorkspace.list_stacks", "names, the current one, number of resources, time of the last update")
def _(world: World) -> None:
    (found,) = world.workspace.list_stacks()
    assert (found.name, found.current, found.resource_count) == (world.stack.name, True, 3)
    assert found.last_update is not None


@works("LocalWorkspace.stack", "the current one")
def _(world: World) -> None:
    current = world.workspace.stack()
    assert current is not None
    assert current.name == world.stack.name


@works("LocalWorkspace.remove_stack", "state and settings file are gone; one with resources is kept unless forced")
def _(world: World) -> None:
    world.workspace.create_stack("short")
    world.workspace.remove_stack("short")
    assert "short" not in {s.name for s in world.workspace.list_stacks()}
    assert not Path(world.workspace.work_dir, "Pulumi.short.yaml").exists()
    with pytest.raises(auto.CommandError, match="still has resources"):
        world.workspace.remove_stack(world.stack.name)
    world.workspace.select_stack(world.stack.name)


@works("Stack.create", "a new stack; one that exists is an error")
def _(world: World) -> None:
    auto.Stack.create("other", world.workspace)
    with pytest.raises(auto.StackAlreadyExistsError):
        auto.Stack.create("other", world.workspace)
    world.workspace.remove_stack("other")
    world.workspace.select_stack(world.stack.name)


@works("Stack.select", "the stack; one that does not exist is an error")
def _(world: World) -> None:
    assert auto.Stack.select(world.stack.name, world.workspace).name == world.stack.name
    with pytest.raises(auto.StackNotFoundError):
        auto.Stack.select("none", world.workspace)


@works("Stack.create_or_select", "the stack that exists already")
def _(world: World) -> None:
    assert auto.Stack.create_or_select(world.stack.name, world.workspace).outputs()["said"].value


@works("Stack.rename", "the new name in state, URNs, settings file and history")
def _(world: World) -> None:
    stack = auto.Stack.select(world.stack.name, world.workspace)
    done = stack.rename("renamed")
    assert done.summary is not None
    assert stack.name == "renamed"
    urns = [r["urn"] for r in (stack.export_stack().deployment or {})["resources"]]
    assert all(u.startswith("urn:pulumi:renamed::test::") for u in urns)
    assert stack.history()
    stack.rename(world.stack.name)
    assert Path(world.workspace.work_dir, f"Pulumi.{world.stack.name}.yaml").exists()


# --- state ------------------------------------------------------------------------------------------------------------


@works("LocalWorkspace.stack_outputs", "values, secrets shown and marked")
def _(world: World) -> None:
    found = world.workspace.stack_outputs(world.stack.name)
    assert (found["hidden"].value, found["hidden"].secret, found["size"].secret) == ("canary", True, False)


@works("Stack.outputs", "the same")
def _(world: World) -> None:
    assert world.stack.outputs()["hidden"].value == "canary"


@works("Stack.info", "kind, result and changes of the last update")
def _(world: World) -> None:
    info = world.stack.info()
    assert info is not None
    assert (info.result, info.version is not None) == ("succeeded", True)


@works("Stack.history", "newest first, in pages, with the configuration each update had")
def _(world: World) -> None:
    entries = world.stack.history()
    assert entries[-1].kind == "update"
    assert [e.start_time for e in world.stack.history(page_size=1, page=1)] == [entries[0].start_time]


@works("LocalWorkspace.export_stack", "the deployment with its secrets in plain text")
def _(world: World) -> None:
    state = world.workspace.export_stack(world.stack.name)
    assert state.version == 3
    assert state.deployment is not None
    assert '"plaintext": "\\"canary\\""' in json.dumps(state.deployment)


@works("LocalWorkspace.import_stack", "the state is the one given, its secrets encrypted again")
def _(world: World) -> None:
    world.workspace.import_stack(world.stack.name, world.workspace.export_stack(world.stack.name))
    assert "canary" not in world.checkpoint.read_text()
    assert world.stack.outputs()["hidden"].value == "canary"


@works("Stack.export_stack", "the same as the workspace's")
def _(world: World) -> None:
    assert (world.stack.export_stack().deployment or {})["resources"]


@works("Stack.import_stack", "the same as the workspace's; a state of another stack is an error")
def _(world: World) -> None:
    state = world.stack.export_stack()
    world.stack.import_stack(state)
    foreign = json.loads(
        json.dumps(state.deployment).replace(f"urn:pulumi:{world.stack.name}::", "urn:pulumi:foreign::")
    )
    with pytest.raises(auto.CommandError, match="is of another stack"):
        world.stack.import_stack(auto.Deployment(version=3, deployment=foreign))


# --- configuration ----------------------------------------------------------------------------------------------------


@works("LocalWorkspace.set_config", "plain, secret and by path")
def _(world: World) -> None:
    name = world.stack.name
    world.workspace.set_config(name, "token", auto.ConfigValue("s3cret", secret=True))
    world.workspace.set_config(name, "a.b", auto.ConfigValue("1"), path=True)
    assert "s3cret" not in Path(world.workspace.work_dir, f"Pulumi.{name}.yaml").read_text()
    assert world.workspace.get_config(name, "a.b", path=True).value == "1"


@works("LocalWorkspace.get_config", "value and secrecy, by path too; a key that is not there is an error")
def _(world: World) -> None:
    name = world.stack.name
    world.workspace.set_config(name, "token", auto.ConfigValue("s3cret", secret=True))
    found = world.workspace.get_config(name, "token")
    assert (found.value, found.secret) == ("s3cret", True)
    with pytest.raises(auto.CommandError, match="configuration key 'nothing' not found"):
        world.workspace.get_config(name, "nothing")


@works("LocalWorkspace.set_all_config", "several at once, by path too")
def _(world: World) -> None:
    name = world.stack.name
    world.workspace.set_all_config(
        name, {"c.d": auto.ConfigValue("1"), "e": auto.ConfigValue("x", secret=True)}, path=True
    )
    assert json.loads(world.workspace.get_all_config(name)["test:c"].value) == {"d": 1}


@works("LocalWorkspace.set_all_config_json", "what `pulumi config --json` prints")
def _(world: World) -> None:
    name = world.stack.name
    world.workspace.set_all_config_json(name, json.dumps({"test:f": {"value": "y", "secret": True}}))
    found = world.workspace.get_config(name, "f")
    assert (found.value, found.secret) == ("y", True)


@works("LocalWorkspace.get_all_config", "every value, secrets decrypted")
def _(world: World) -> None:
    world.workspace.set_config(world.stack.name, "token", auto.ConfigValue("s3cret", secret=True))
    assert world.workspace.get_all_config(world.stack.name)["test:token"].value == "s3cret"


@works("LocalWorkspace.remove_config", "it is gone; by path, only what it names")
def _(world: World) -> None:
    name = world.stack.name
    world.workspace.set_all_config(name, {"g.h": auto.ConfigValue("1"), "g.i": auto.ConfigValue("2")}, path=True)
    world.workspace.remove_config(name, "g.h", path=True)
    assert json.loads(world.workspace.get_config(name, "g").value) == {"i": 2}


@works("LocalWorkspace.remove_all_config", "all named are gone")
def _(world: World) -> None:
    name = world.stack.name
    world.workspace.set_all_config(name, {"j": auto.ConfigValue("1"), "k": auto.ConfigValue("2")})
    world.workspace.remove_all_config(name, ["j", "k"])
    assert {"test:j", "test:k"}.isdisjoint(world.workspace.get_all_config(name))


@works("LocalWorkspace.refresh_config", "the settings file says what the last update had")
def _(world: World) -> None:
    name = world.stack.name
    world.workspace.set_config(name, "stray", auto.ConfigValue("1"))
    world.workspace.refresh_config(name)
    assert "test:stray" not in world.workspace.get_all_config(name)


@works("Stack.set_config", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_config("own", auto.ConfigValue("1"))
    assert world.stack.get_config("own").value == "1"


@works("Stack.get_config", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_config("own", auto.ConfigValue("2", secret=True))
    assert world.stack.get_config("own").secret


@works("Stack.set_all_config", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_all_config({"own": auto.ConfigValue("3")})
    assert world.stack.get_config("own").value == "3"


@works("Stack.set_all_config_json", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_all_config_json(json.dumps({"test:own": {"value": "4", "secret": False}}))
    assert world.stack.get_config("own").value == "4"


@works("Stack.get_all_config", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_config("own", auto.ConfigValue("5"))
    assert world.stack.get_all_config()["test:own"].value == "5"


@works("Stack.remove_config", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_config("own", auto.ConfigValue("6"))
    world.stack.remove_config("own")
    assert "test:own" not in world.stack.get_all_config()


@works("Stack.remove_all_config", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_config("own", auto.ConfigValue("7"))
    world.stack.remove_all_config(["own"])
    assert "test:own" not in world.stack.get_all_config()


@works("Stack.refresh_config", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_config("stray", auto.ConfigValue("1"))
    world.stack.refresh_config()
    assert "test:stray" not in world.stack.get_all_config()


# Environments are a service of Pulumi Cloud; the CLI has none on a file backend either.
refused(
    "LocalWorkspace.add_environments", "pulumi config env", lambda w: w.workspace.add_environments(w.stack.name, "e")
)
refused("LocalWorkspace.list_environments", "pulumi config env", lambda w: w.workspace.list_environments(w.stack.name))
refused(
    "LocalWorkspace.remove_environment",
    "pulumi config env",
    lambda w: w.workspace.remove_environment(w.stack.name, "e"),
)
refused("Stack.add_environments", "pulumi config env", lambda w: w.stack.add_environments("e"))
refused("Stack.list_environments", "pulumi config env", lambda w: w.stack.list_environments())
refused("Stack.remove_environment", "pulumi config env", lambda w: w.stack.remove_environment("e"))


# --- tags, plugins, project -------------------------------------------------------------------------------------------


@works("LocalWorkspace.set_tag", "it is there")
def _(world: World) -> None:
    world.workspace.set_tag(world.stack.name, "team", "payments")
    assert world.workspace.get_tag(world.stack.name, "team") == "payments"


@works("LocalWorkspace.get_tag", "its value; one that is not there is an error")
def _(world: World) -> None:
    assert world.workspace.get_tag(world.stack.name, "pulumi:project") == "test"
    with pytest.raises(auto.CommandError, match="stack tag 'nothing' not found"):
        world.workspace.get_tag(world.stack.name, "nothing")


@works("LocalWorkspace.list_tags", "own and set ones")
def _(world: World) -> None:
    world.workspace.set_tag(world.stack.name, "team", "payments")
    assert {"pulumi:project": "test", "team": "payments"}.items() <= world.workspace.list_tags(world.stack.name).items()


@works("LocalWorkspace.remove_tag", "it is gone")
def _(world: World) -> None:
    world.workspace.set_tag(world.stack.name, "team", "payments")
    world.workspace.remove_tag(world.stack.name, "team")
    assert "team" not in world.workspace.list_tags(world.stack.name)


@works("Stack.set_tag", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_tag("team", "ledger")
    assert world.stack.get_tag("team") == "ledger"


@works("Stack.get_tag", "as the workspace's")
def _(world: World) -> None:
    assert world.stack.get_tag("pulumi:runtime") == "python"


@works("Stack.list_tags", "as the workspace's")
def _(world: World) -> None:
    assert world.stack.list_tags()["pulumi:project"] == "test"


@works("Stack.remove_tag", "as the workspace's")
def _(world: World) -> None:
    world.stack.set_tag("team", "ledger")
    world.stack.remove_tag("team")
    assert "team" not in world.stack.list_tags()


@works(
    "LocalWorkspace.list_plugins", "the two providers built into the engine, with the release whose behaviour they have"
)
def _(world: World) -> None:
    assert {p.name for p in world.workspace.list_plugins()} == {"command", "kubernetes"}


@works("LocalWorkspace.install_plugin", "nothing to do for the two built in; another is refused by name")
def _(world: World) -> None:
    world.workspace.install_plugin("kubernetes", "v4.34.2")
    with pytest.raises(
        auto.CommandError, match="plugin resource aws is not covered by the offline engine; use the Pulumi CLI"
    ):
        world.workspace.install_plugin("aws", "v7.0.0")


@works("LocalWorkspace.install_plugin_from_server", "nothing to do for the two built in")
def _(world: World) -> None:
    world.workspace.install_plugin_from_server("command", "v1.2.1", "https://example.com")


@works("LocalWorkspace.remove_plugin", "nothing to do: what is built in stays")
def _(world: World) -> None:
    world.workspace.remove_plugin("kubernetes")
    assert len(world.workspace.list_plugins()) == 2


@works("LocalWorkspace.install", "nothing to do: the Python environment is the caller's")
def _(world: World) -> None:
    lines: list[str] = []
    world.workspace.install(on_output=lines.append)
    assert "installs nothing" in lines[0]


refused("LocalWorkspace.new", "pulumi new", lambda w: w.workspace.new("kubernetes-python"))
refused("LocalWorkspace.org_get_default", "pulumi org", lambda w: w.workspace.org_get_default())
refused("LocalWorkspace.org_set_default", "pulumi org", lambda w: w.workspace.org_set_default("acme"))


@works("LocalWorkspace.who_am_i", "the user of this machine, and the backend's URL")
def _(world: World) -> None:
    who = world.workspace.who_am_i()
    assert who.user
    assert who.url == f"file://{world.state}"


@works("LocalWorkspace.pulumi_version", "the release of the CLI whose behaviour is imitated")
def _(world: World) -> None:
    assert f"v{world.workspace.pulumi_version}" == VERSION


@works("LocalWorkspace.project_settings", "read from Pulumi.yaml")
def _(world: World) -> None:
    assert world.workspace.project_settings().name == "test"


@works("LocalWorkspace.save_project_settings", "what it writes, the engine reads")
def _(world: World) -> None:
    before = world.workspace.project_settings()
    world.workspace.save_project_settings(auto.ProjectSettings("test", "python", description="all of it"))
    assert world.workspace.get_tag(world.stack.name, "pulumi:description") == "all of it"
    world.workspace.save_project_settings(before)


@works("LocalWorkspace.stack_settings", "read from the stack's file")
def _(world: World) -> None:
    world.stack.set_config("size", auto.ConfigValue("2"))
    assert (world.workspace.stack_settings(world.stack.name).config or {})["test:size"] == "2"


@works("LocalWorkspace.save_stack_settings", "what it writes, the engine reads")
def _(world: World) -> None:
    settings = world.workspace.stack_settings(world.stack.name)
    settings.config = {**(settings.config or {}), "test:written": "by the SDK"}
    world.workspace.save_stack_settings(world.stack.name, settings)
    assert world.stack.get_config("written").value == "by the SDK"


@works("LocalWorkspace.serialize_args_for_op", "nothing, by the SDK's own design")
def _(world: World) -> None:
    assert world.workspace.serialize_args_for_op(world.stack.name) == []


@works("LocalWorkspace.post_command_callback", "nothing, by the SDK's own design")
def _(world: World) -> None:
    world.workspace.post_command_callback(world.stack.name)


@works("Stack.destroy", "what was deleted; the stack and its history stay")
def _(world: World) -> None:
    done = world.stack.destroy()
    assert done.summary.resource_changes == {"delete": 2}
    assert (world.stack.export_stack().deployment or {}).get("resources", []) == []
    assert world.stack.history()[0].kind == "destroy"
    world.stack.up()


# --- options ----------------------------------------------------------------------------------------------------------

OPERATIONS: Final = ("preview", "up", "refresh", "preview_refresh", "destroy", "preview_destroy")
HANDLED_BY_THE_SDK: Final = frozenset({"self", "program", "on_output", "on_error", "on_event", "show_secrets"})
REFUSED_OPTIONS: Final[Mapping[str, str]] = {
    "attach_debugger": "--attach-debugger",
    "exclude_dependents": "--exclude-dependents",
    "exclude_protected": "--exclude-protected",
    "import_file": "--import-file",
    "plan": "--plan, and --save-plan of a preview",
    "replace": "--replace",
    "target_dependents": "--target-dependents",
}
_SAMPLES: Final[Mapping[str, object]] = {
    "parallel": 2, "target": ["urn:pulumi:dev::test::a:b:C::d"], "exclude": ["urn:pulumi:dev::test::a:b:C::d"], "replace": ["urn:pulumi:dev::test::a:b:C::d"],
    "policy_packs": ["pack"], "policy_pack_configs": ["config.json"], "log_verbosity": 3,
    "message": "m", "color": "never", "plan": "plan.json", "tracing": "file:/dev/null", "import_file": "i.json", "config_file": "c.yaml",
}  # fmt: skip


def options(operation: str) -> dict[str, object]:
    """An operation's own options by introspection, each with a value to try."""
    names = set(inspect.signature(getattr(auto.Stack, operation)).parameters) - HANDLED_BY_THE_SDK
    return {name: _SAMPLES.get(name, True) for name in sorted(names)}


def page() -> str:
    lines = [PAGE, f"## Methods\n\n{len(CALLS)} methods, {sum(not c.missing for c in CALLS.values())} of them work.\n"]
    lines += ["| method | on the offline engine |", "|---|---|"]
    for name in sorted(CALLS):
        call = CALLS[name]
        lines.append(f"| `{name}` | {_refusal(call.missing) if call.missing else call.shows} |")
    lines += ["", "## Options", "", "Of " + ", ".join(f"`{o}`" for o in OPERATIONS) + ".", ""]
    lines += ["| option | on the offline engine |", "|---|---|"]
    for name in sorted({name for o in OPERATIONS for name in options(o)}):
        lines.append(f"| `{name}` | {_refusal(REFUSED_OPTIONS[name]) if name in REFUSED_OPTIONS else 'taken'} |")
    return "\n".join(lines) + "\n"


def _refusal(missing: str) -> str:
    return f"**refused**: the error names `{missing.split(',')[0]}` and the Pulumi CLI"


if __name__ == "__main__":
    print(page(), end="")
