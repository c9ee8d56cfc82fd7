"""A unique constraint or index follows from one that was there."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint, unique_before
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        is_constraint(case, "added", "unique") or (case.is_("added", "index") and case.given("unique") is True)
    ) and unique_before(case)


RULE = Rule(
    id="unique-implied",
    level="safe",
    title="A unique constraint or index follows from one that was there",
    why="It demands no more than was demanded before.",
    source="PostgreSQL manual, 11.6 Unique Indexes",
    applies=_applies,
)
