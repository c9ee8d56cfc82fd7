"""The Automation API of the unmodified SDK against the executable: LocalWorkspace and Stack, local and inline programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi as sdk
import pytest
from pulumi import automation as auto

from .conftest import SALT, Shell

pytestmark = pytest.mark.slow  # starts engines as processes of their own


def program() -> None:
    class Thing(sdk.ComponentResource):
        def __init__(self, name: str, opts: sdk.ResourceOptions | None = None) -> None:
            super().__init__("test:index:Thing", name, None, opts)
            self.register_outputs({"name": name})

    one = Thing("one")
    Thing("two", sdk.ResourceOptions(parent=one))
    sdk.export("size", sdk.Config().get_int("size") or 1)


@pytest.fixture
def folder(pulumi: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    for key, value in pulumi.env.items():
        monkeypatch.setenv(key, value)
    (pulumi.project / "Pulumi.dev.yaml").write_text(f"encryptionsalt: {SALT}\n")
    return str(pulumi.project)


@pytest.fixture
def stack(folder: str) -> auto.Stack:
    options = auto.LocalWorkspaceOptions(work_dir=folder)
    return auto.create_or_select_stack("dev", project_name="test", program=program, opts=options)


def test_a_local_program(folder: str) -> None:
    stack = auto.create_or_select_stack("dev", work_dir=folder)
    outputs = stack.up().outputs
    assert {k: (v.value, v.secret) for k, v in outputs.items()} == {"size": (1, False), "hidden": ("canary", True)}


def test_a_stacks_whole_life(stack: auto.Stack) -> None:
    stack.set_config("size", auto.ConfigValue("7"))
    events: list[Any] = []
    assert stack.preview(on_event=events.append).change_summary == {"create": 3}
    assert events[-1].cancel_event is not None
    lines: list[str] = []
    done = stack.up(on_event=events.append, on_output=lines.append, message="from python")
    assert (done.summary.result, done.summary.resource_changes, done.summary.message) == (
        "succeeded",
        {"create": 3},
        "from python",
    )
    assert done.outputs["size"].value == 7
    assert "    + 3 created" in lines
    assert [e.res_outputs_event.metadata.urn.rsplit("::", 1)[1] for e in events if e.res_outputs_event][
        -1
    ] == "test-dev"
    assert stack.refresh().summary.resource_changes == {"same": 3}
    state = stack.export_stack()
    stack.import_stack(state)
    assert [h.kind for h in stack.history()] == ["refresh", "update"]
    assert stack.preview_destroy().change_summary == {"delete": 3}
    assert stack.destroy().summary.resource_changes == {"delete": 3}
    stack.workspace.remove_stack("dev")
    assert stack.workspace.list_stacks() == []


def test_workspace_calls(stack: auto.Stack) -> None:
    workspace = stack.workspace
    assert workspace.who_am_i().url == workspace.env_vars.get("PULUMI_BACKEND_URL") or workspace.who_am_i().url
    assert [s.name for s in workspace.list_stacks() if s.current] == ["dev"]
    assert {p.name for p in workspace.list_plugins()} == {"command", "kubernetes"}
    workspace.install_plugin("kubernetes", "v4.34.2")
    stack.set_config("token", auto.ConfigValue("s3cret", secret=True))
    assert (stack.get_config("token").value, stack.get_config("token").secret) == ("s3cret", True)
    stack.remove_config("token")
    stack.set_all_config({"a.b": auto.ConfigValue("1"), "c": auto.ConfigValue("x", secret=True)}, path=True)
    assert json.loads(stack.get_all_config()["test:a"].value) == {"b": 1}
    stack.remove_config("a")
    stack.remove_all_config(["c"])
    assert stack.get_all_config() == {}
    workspace.set_tag("dev", "team", "payments")
    assert workspace.get_tag("dev", "team") == "payments"
    assert stack.info() is None
    assert stack.outputs() == {}
    assert isinstance(workspace, auto.LocalWorkspace)
    workspace.install()


def test_errors_are_the_sdks_own(stack: auto.Stack, tmp_path: Path) -> None:
    folder = stack.workspace.work_dir
    with pytest.raises(auto.StackAlreadyExistsError):
        auto.create_stack("dev", work_dir=folder)
    with pytest.raises(auto.StackNotFoundError):
        auto.select_stack("none", work_dir=folder)
    locks = tmp_path / "state/.pulumi/locks/organization/test/dev"
    locks.mkdir(parents=True, exist_ok=True)
    (locks / "x.json").write_text(
        '{"pid": 1, "username": "ann", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00Z"}'
    )
    with pytest.raises(auto.ConcurrentUpdateError):
        stack.up()
    stack.cancel()
    with pytest.raises(auto.CommandError, match="plan is not covered by the offline engine"):
        stack.up(plan="x")


def test_a_failing_inline_program_is_an_error_with_its_words(stack: auto.Stack) -> None:
    def broken() -> None:
        raise RuntimeError("told to fail")

    with pytest.raises(auto.CommandError, match="told to fail"):
        stack.up(program=broken)
