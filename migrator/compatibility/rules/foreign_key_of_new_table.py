"""A new table refers to an existing one."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint, key_columns, old_columns
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_constraint(case, "added", "foreign key") and (
        ("table", case.parent) not in case.before.by_key or not key_columns(case.new) & old_columns(case)
    )


RULE = Rule(
    id="foreign-key-of-new-table",
    level="risky",
    title="A new table refers to an existing one",
    why=(
        "Where its rows refer to one that the previous version deletes, or whose key it changes, that fails with 23503."
    ),
    instead="ON DELETE CASCADE or SET NULL, if the previous version deletes; nothing to do if it does not.",
    source="squawk adding-foreign-key-constraint; PostgreSQL manual, 5.4.5 Foreign Keys",
    applies=_applies,
)
