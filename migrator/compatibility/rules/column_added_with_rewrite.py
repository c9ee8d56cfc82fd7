"""A column is added whose values must be computed for every row."""

from __future__ import annotations

from migrator.compatibility.questions import fills_row_by_row, is_column_of_table
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("added", "column") and is_column_of_table(case) and fills_row_by_row(case)


RULE = Rule(
    id="column-added-with-rewrite",
    level="risky",
    title="A column is added whose values must be computed for every row",
    why=(
        "The previous version's statements go on working, but PostgreSQL writes the whole table "
        "anew under a lock that also stops readers."
    ),
    instead="Add the column without default, set the default, and fill old rows in batches.",
    source="squawk adding-field-with-default; PostgreSQL manual, ALTER TABLE, Notes",
    applies=_applies,
)
