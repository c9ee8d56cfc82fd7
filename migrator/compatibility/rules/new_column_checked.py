"""A CHECK is put on new columns, and whether their defaults satisfy it cannot be told."""

from __future__ import annotations

from migrator.compatibility.new_columns import condition_of_new_rows, new_columns
from migrator.compatibility.questions import is_constraint, key_columns, old_columns
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        is_constraint(case, "added", "check")
        and bool(new_columns(case))
        and not key_columns(case.new) & old_columns(case)
        and condition_of_new_rows(case) == "unknown"
    )


RULE = Rule(
    id="new-column-checked",
    level="risky",
    title="A CHECK is put on new columns, and whether their defaults satisfy it cannot be told",
    why=(
        "The previous version's rows hold NULL or the default in the new columns; where that does not satisfy "
        "it, each INSERT fails with 23514."
    ),
    instead="Try the INSERT without the column: it fails always or never.",
    source="PostgreSQL manual, 5.4 Constraints",
    contraction=True,
    applies=_applies,
)
