"""A table gets a primary key, or another one."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_constraint(case, "added", "primary key") or is_constraint(case, "changed", "primary key")


RULE = Rule(
    id="primary-key-changed",
    level="breaks",
    title="A table gets a primary key, or another one",
    why=(
        "The previous version's rows with duplicates or NULL fail with 23505 or 23502, and its ON "
        "CONFLICT on the old key with 42P10."
    ),
    instead=(
        "CREATE UNIQUE INDEX CONCURRENTLY on the new key beside the old one; exchange them when "
        "every version that serves fills it."
    ),
    source="squawk adding-serial-primary-key-field; PostgreSQL manual, ALTER TABLE",
    contraction=True,
    applies=_applies,
)
