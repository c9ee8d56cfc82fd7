"""Previews with the pack, by the Pulumi CLI, without a cluster."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from pulumi import automation as auto

from devkit.workspace import REPOSITORY, pulumi_environment

PACK = REPOSITORY / "policies"
FOREIGN = Path(__file__).parent / "foreign"


@dataclass
class Preview:
    """What a preview said.

    Attributes:
        failed: it ended with an error, such as a mandatory violation.
        violations: rule, logical name of the resource, level and message.
        inputs: by logical name, as they would be applied.
    """

    failed: bool = False
    violations: list[tuple[str, str, str, str]] = field(default_factory=list)
    inputs: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Any) -> None:
        if event.policy_event:
            e = event.policy_event
            self.violations.append((e.policy_name, _name(e.resource_urn), str(e.enforcement_level), e.message))
        step = event.resource_pre_event.metadata if event.resource_pre_event else None
        if step and step.new:
            self.inputs[_name(step.urn)] = step.new.inputs

    def of(self, rule: str) -> set[str]:
        return {name for r, name, _, _ in self.violations if r == rule}


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def project(folder: Path, manifests: str = "", program: Path = FOREIGN) -> dict[str, str]:
    """Makes a project of a foreign program, by default one of these manifests; returns the variables it needs."""
    (folder / "state").mkdir(parents=True, exist_ok=True)
    (folder / "manifests.yaml").write_text(manifests)
    runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "foreign", "runtime": runtime, "main": str(program)}))
    return {
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        **pulumi_environment(folder / "home"),
        "KUBECONFIG": str(folder / "no-cluster"),
        "MANIFESTS": str(folder / "manifests.yaml"),
        "ROLLOUT_PYTHON": sys.executable,
    }


def preview(
    folder: Path, stack: str, manifests: str = "", *, program: Path = FOREIGN, config: Path | None = None
) -> Preview:
    """Previews a foreign program with the pack, through the Automation API, as a stack of this name."""
    environment = project(folder, manifests, program)
    options = auto.LocalWorkspaceOptions(env_vars=environment)
    seen = Preview()
    # The SDK looks the executable up in this process's PATH.
    with patch.dict(os.environ, PATH=environment["PATH"]):
        selected = auto.create_or_select_stack(stack, work_dir=str(folder), opts=options)
        try:
            selected.preview(
                on_event=seen.take,
                policy_packs=[str(PACK)],
                policy_pack_configs=[str(config)] if config else None,
                color="never",
            )
        except auto.CommandError:
            seen.failed = True
    return seen
