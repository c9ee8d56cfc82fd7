"""An enum's values change their order."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "enum", attribute="labels")


RULE = Rule(
    id="enum-reordered",
    level="risky",
    title="An enum's values change their order",
    why="Comparisons and ORDER BY give other results.",
    instead="Leave the order.",
    source="PostgreSQL manual, 8.7 Enumerated Types",
    applies=_applies,
)
