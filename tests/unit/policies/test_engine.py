"""The examples of every rule as a program that an engine previews with the real pack host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.rule import ResourceRule, StackRule
from policies.rules import RULES, backup_before_migration, gate, nothing_unseen
from tests.unit.policies.engine import Preview, preview

pytestmark = pytest.mark.slow

pytestmark = pytest.mark.slow  # starts engines as processes of their own


# A Release needs a chart that can be fetched, and a Patch an object that is there; test_around_the_gate.py asks the pack host about them.
PREVIEWED = [rule for rule in RULES if rule is not nothing_unseen.RULE]


def together(choose: Callable[[ResourceRule | StackRule], str]) -> str:
    """The examples of all rules in one program, each in a namespace and under names of its own."""
    documents: list[dict[str, Any]] = []
    for rule in PREVIEWED:
        for manifest in yaml.safe_load_all(choose(rule)):
            if manifest["kind"] != "Outputs":
                options = manifest.setdefault("pulumi", {})
                options["name"] = f"{rule.name}-{options.get('name', manifest['metadata']['name'])}"
                options["dependsOn"] = [f"{rule.name}-{other}" for other in options.get("dependsOn", ())]
                manifest["metadata"]["namespace"] = rule.name
            documents.append(manifest)
    return yaml.safe_dump_all(documents)


def _told(seen: Preview, rule: ResourceRule | StackRule) -> set[str]:
    """The resources of a rule's own example that it has complained of."""
    return {n for n in seen.of(rule.name) if n.startswith((f"{rule.name}-", "foreign-"))}


@pytest.fixture(scope="module")
def passing(tmp_path_factory: pytest.TempPathFactory) -> Preview:
    return preview(tmp_path_factory.mktemp("passing"), "dev", together(lambda rule: rule.examples.passes))


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Preview:
    return preview(tmp_path_factory.mktemp("failing"), "dev", together(lambda rule: rule.examples.fails))


# Development asks for no backups.
@pytest.mark.parametrize(
    "rule", [r for r in PREVIEWED if r.checks and r is not backup_before_migration.RULE], ids=lambda r: r.name
)
def test_the_engine_tells_the_examples_of_a_rule_apart(
    rule: ResourceRule | StackRule, passing: Preview, failing: Preview
) -> None:
    assert _told(passing, rule) == set()
    assert _told(failing, rule) != set()


def test_in_development_what_a_pod_leaves_open_is_filled_in(failing: Preview) -> None:
    pod = failing.inputs["pod-defaults-ledger"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert "pod-defaults-ledger" not in failing.of("pod-security")


def test_in_development_everything_is_advice(failing: Preview) -> None:
    assert not failing.failed
    assert {level for _, _, level, _ in failing.violations} == {"advisory"}


def test_production_is_advised_to_have_backups(tmp_path: Path) -> None:
    seen = preview(tmp_path, "prod", backup_before_migration.FAILS)
    assert {level for rule, _, level, _ in seen.violations if rule == "backup-before-migration"} == {"advisory"}


def test_in_production_a_violation_fails_the_preview(tmp_path: Path) -> None:
    seen = preview(tmp_path, "prod", gate.FAILS)
    assert seen.failed
    assert "mandatory" in {level for rule, _, level, _ in seen.violations if rule == "gate"}


def test_a_configuration_file_says_otherwise(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        '{"all": "disabled", "gate": "mandatory", "images-pinned": {"enforcementLevel": "advisory", "requireDigest": true}}'
    )
    seen = preview(tmp_path / "project", "prod", gate.PASSES, config=config)
    assert not seen.failed
    assert {rule for rule, _, _, _ in seen.violations} == {"images-pinned"}
