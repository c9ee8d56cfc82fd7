"""An enum gets a value."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "enum", attribute="labels") and not case.gone and bool(case.come)


RULE = Rule(
    id="enum-value-added",
    level="risky",
    title="An enum gets a value",
    why="The previous version may read a value that it does not know.",
    instead="Write the new value only when no version runs that does not know it.",
    source="PostgreSQL manual, ALTER TYPE",
    applies=_applies,
)
