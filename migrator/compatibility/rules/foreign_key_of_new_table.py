"""A new table or column refers to existing rows, which then cannot be deleted."""

from __future__ import annotations

from migrator.compatibility.questions import is_new_foreign_key
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_new_foreign_key(case)


RULE = Rule(
    id="foreign-key-of-new-table",
    level="risky",
    title="A new table or column refers to existing rows, which then cannot be deleted",
    why=(
        "Where its rows refer to one that the previous version deletes, or whose key it changes, that fails with 23503."
    ),
    instead="ON DELETE CASCADE or SET NULL, if the previous version deletes; nothing to do if it does not.",
    source="squawk adding-foreign-key-constraint; PostgreSQL manual, 5.4.5 Foreign Keys",
    applies=_applies,
)
