"""A unique key that was NOT NULL becomes the primary key."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint, not_null_before, unique_before
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_constraint(case, "added", "primary key") and unique_before(case) and not_null_before(case)


RULE = Rule(
    id="primary-key-from-unique",
    level="safe",
    title="A unique key that was NOT NULL becomes the primary key",
    why="It demands what was demanded before.",
    source="PostgreSQL manual, ALTER TABLE, ADD table_constraint_using_index",
    applies=_applies,
)
