"""The files in policies/config and what they may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import levels as module
from policies.levels import levels
from policies.rules import RULES


def test_production_forbids_what_development_advises() -> None:
    dev, prod = levels("dev"), levels("prod")
    assert {x.level for x in dev.values()} == {"advisory", "remediate", "disabled"}
    assert {name for name, x in prod.items() if x.level != "mandatory"} == {"pod-defaults", "backup-before-migration"}
    assert dev.keys() == prod.keys() == {rule.name for rule in RULES}


def test_a_stack_without_a_file_is_held_to_productions_rules() -> None:
    assert levels("somewhere") == levels("organization/rollout/prod") == levels("developers")


def test_a_stack_of_somebodys_own_is_held_to_its_environments_rules() -> None:
    assert levels("dev-alice") == levels("dev") != levels("prod")


def test_a_stack_that_names_two_environments_is_held_to_productions_rules() -> None:
    assert levels("dev-prod") == levels("staging-dev") == levels("prod")
    assert levels("prod-dev") == levels("prod")
    assert levels("staging-eu") == levels("staging")


@pytest.mark.parametrize("text", ['{"gaet": "mandatory"}', '{"gate": "strict"}', '{"gate": {"images": []}}'])
def test_a_slip_in_a_file_is_an_error(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dev.json").write_text(text)
    monkeypatch.setattr(module, "CONFIG", tmp_path)
    with pytest.raises(ValueError, match=r"dev\.json"):
        levels("dev")
