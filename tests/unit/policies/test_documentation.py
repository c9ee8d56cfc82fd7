"""docs/policies.md says what the rules are and do."""

from __future__ import annotations

from pathlib import Path

from policies.reference import section
from tests.unit.policies.mutations import MUTATIONS

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "policies.md").read_text()


def test_the_rules_are_documented_as_they_are() -> None:
    assert section().strip() in TEXT, "run python -m policies.reference"


def test_every_mutation_is_in_the_table() -> None:
    assert [m.what for m in MUTATIONS if f"| {m.what} | `{m.rule}` |" not in TEXT] == []
