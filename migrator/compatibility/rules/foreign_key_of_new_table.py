"""A new table or column refers to existing rows, which then cannot be deleted."""

from __future__ import annotations

from migrator.compatibility.questions import is_new_foreign_key
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_new_foreign_key(case)


RULE = Rule(
    id="foreign-key-of-new-table",
    level="risky",
    title="A new table or column refers to existing rows, which then cannot be deleted or get another key",
    why=(
        "Where its rows refer to one that the previous version deletes, or whose key it changes, that fails with 23503; "
        "TRUNCATE without CASCADE fails with 0A000. Where a new column has a default, the previous version's rows need a "
        "counterpart for it."
    ),
    instead=(
        "ON UPDATE CASCADE with ON DELETE CASCADE, or SET NULL on a nullable column, if the previous version deletes or "
        "changes keys; nothing to do if it does not. No default on a column that refers."
    ),
    source="squawk adding-foreign-key-constraint; PostgreSQL manual, 5.4.5 Foreign Keys",
    applies=_applies,
)
