"""A column is added that is NOT NULL, or of a domain that is, and has no default."""

from __future__ import annotations

from migrator.compatibility.questions import is_column_of_table, is_required
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("added", "column") and is_column_of_table(case) and is_required(case)


RULE = Rule(
    id="column-added-required",
    level="breaks",
    title="A column is added that is NOT NULL, or of a domain that is, and has no default",
    why=(
        "Every INSERT of the previous version, which does not know the column, fails with 23502, or with 23514 where a "
        "CHECK of its domain refuses NULL."
    ),
    instead=(
        "Add it with a default, or nullable; fill old rows in batches; set NOT NULL when every "
        "version that serves writes it."
    ),
    source="squawk adding-required-field; PostgreSQL manual, ALTER TABLE",
    applies=_applies,
)
