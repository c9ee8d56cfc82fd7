"""A stack of the Formance operator, imported as an engineer would, is one that previews on a real cluster."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from devkit.workspace import ROLLOUT, Workspace
from tests.cluster.stacks import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

FILES = sorted((Path(__file__).parent.parent / "unit/automation/operator_stack").glob("*.yaml"))


def test_an_operators_stack_previews_with_every_module(stack: Stack) -> None:
    """The stack that the fixture makes lends its project and its engine's environment; another is imported beside it."""
    imported = Workspace(stack.workspace.root, "acme-prod")
    command = [str(ROLLOUT), "import-operator", *map(str, FILES), "--json"]
    done = subprocess.run(command, cwd=imported.root, env=imported.env, capture_output=True, text=True, check=True)
    assert "Pulumi.acme-prod.yaml" in done.stdout
    imported.pulumi("stack", "init", "acme-prod")
    code, verdict = imported.rollout("preview")
    assert (code, verdict["outcome"]) == (0, "previewed"), json.dumps(verdict, indent=1)
    assert {m["outcome"] for m in verdict["modules"]} == {"previewed"}
    assert len(verdict["modules"]) == 9
    assert set(verdict["changes"]) == {"create"}
