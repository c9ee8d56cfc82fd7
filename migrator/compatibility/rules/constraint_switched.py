"""A foreign key is switched off or on."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "constraint", attribute="enforced")


RULE = Rule(
    id="constraint-switched",
    level="risky",
    title="A foreign key is switched off or on",
    why="Switched off, the previous version's rows need no counterpart; switched on again, they do.",
    instead="Leave it on, and load data in an order that satisfies it.",
    source="PostgreSQL manual, ALTER TABLE, DISABLE TRIGGER",
    applies=_applies,
)
