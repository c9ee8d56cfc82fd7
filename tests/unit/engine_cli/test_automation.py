"""The Automation API with the executable as the SDK finds it on the PATH: local programs, and its own errors. All calls: test_surface."""

from __future__ import annotations

from pathlib import Path

import pulumi as sdk
import pytest
from pulumi import automation as auto

from .conftest import SALT, Shell

pytestmark = pytest.mark.slow  # starts engines as processes of their own


def program() -> None:
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
