"""A sequence counts in another way."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.attribute == "identity sequence" or case.is_("changed", "sequence", attribute="definition")


RULE = Rule(
    id="sequence-changed",
    level="risky",
    title="A sequence counts in another way",
    why="The previous version may get numbers it does not expect, or reach the end (2200H).",
    instead="Leave its step and direction; only widen its range.",
    source="PostgreSQL manual, ALTER SEQUENCE",
    applies=_applies,
)
