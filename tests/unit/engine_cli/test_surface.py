"""Every call of the SDK's Automation API works on the offline engine, or says what is missing and who has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation as auto
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from offline.cli.main import parse
from offline.engine import VERSION
from offline.engine.errors import NotCovered

from . import surface
from .conftest import SALT, Shell, new_project
from .surface import CALLS, OPERATIONS, REFUSED_OPTIONS, World

_UPDATES = {"preview", "up", "refresh", "destroy"}


class Here(auto.PulumiCommand):
    """Runs updates as processes, as everyone does, and what only reads and writes files in this one, to spare the start."""

    def __init__(self, shell: Shell) -> None:
        super().__init__()
        self._shell = shell

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> auto.CommandResult:
        if _UPDATES & set(args[:1]):
            return super().run(args, cwd, additional_env, on_output, on_error)
        shell = replace(self._shell, env=self._shell.env | dict(additional_env))
        ran = shell("--non-interactive", *args, check=False)
        result = auto.CommandResult(ran.out.rstrip("\n"), ran.err.rstrip("\n"), ran.code)
        if ran.code:
            raise create_command_error(result)
        for line in result.stdout.splitlines() if on_output else ():
            on_output(line)  # type: ignore[misc]
        return result


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        shell = new_project(tmp_path_factory.mktemp("surface"))
        for key, value in shell.env.items():
            patch.setenv(key, value)
        (shell.project / "Pulumi.dev.yaml").write_text(f"encryptionsalt: {SALT}\n")
        options = auto.LocalWorkspaceOptions(work_dir=str(shell.project), pulumi_command=Here(shell))
        stack = auto.create_stack("dev", project_name="test", program=surface.program, opts=options)
        stack.up()
        yield World(stack, shell.state)


def test_every_method_of_the_sdk_is_classified() -> None:
    assert set(surface.methods()) == set(CALLS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if not call.missing])
def test_works(world: World, name: str) -> None:
    CALLS[name].make(world)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.missing])
def test_what_is_missing_is_named(world: World, name: str) -> None:
    call = CALLS[name]
    with pytest.raises(
        auto.CommandError, match=f"{call.missing}.* is not covered by the offline engine; use the Pulumi CLI: https://"
    ):
        call.make(world)


class Asked(auto.PulumiCommand):
    """Takes down what the SDK would run."""

    def __init__(self) -> None:
        self.command, self.version = "pulumi", VersionInfo.parse(VERSION.removeprefix("v"))
        self.args: list[str] = []

    def run(self, args: list[str], *_: Any, **__: Any) -> auto.CommandResult:
        if args[0] not in _UPDATES:
            return auto.CommandResult("[]", "", 0)
        self.args = args
        raise auto.CommandError(auto.CommandResult("", "", 1))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_option_of_the_sdk_is_taken_or_refused_by_name(operation: str, tmp_path: Path) -> None:
    asked = Asked()
    workspace = auto.LocalWorkspace(str(tmp_path), program=surface.program, pulumi_command=asked)
    stack = auto.Stack.select("dev", workspace)
    refused = {}
    for option, value in surface.options(operation).items():
        with pytest.raises(auto.CommandError):
            getattr(stack, operation)(**{option: value})
        try:
            parse(asked.args)
        except NotCovered as error:
            refused[option] = str(error)
    assert set(refused) == set(REFUSED_OPTIONS) & set(surface.options(operation))
    for option, text in refused.items():
        flags = [w.rstrip(",") for w in REFUSED_OPTIONS[option].split() if w.startswith("--")]
        assert any(f"{flag} is not covered by the offline engine; use the Pulumi CLI" in text for flag in flags)


def test_the_page_is_current() -> None:
    assert Path("docs/automation-api.md").read_text() == surface.page(), (
        "python -m tests.unit.engine_cli.surface > docs/automation-api.md"
    )
