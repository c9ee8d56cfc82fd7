"""A column is added to a table whose row type is used elsewhere."""

from __future__ import annotations

from migrator.compatibility.questions import is_column_of_table
from migrator.compatibility.row_types import row_type_is_used
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.kind == "added" and is_column_of_table(case) and row_type_is_used(case)


RULE = Rule(
    id="row-type-used",
    level="risky",
    title="A column is added to a table whose row type is used elsewhere",
    why=("ROW(...)::table of the previous version fails with 42846, and it reads and writes rows of another shape."),
    instead="Use a type of its own (CREATE TYPE ... AS) in place of the table's.",
    source="PostgreSQL manual, 8.16 Composite Types",
    applies=_applies,
)
