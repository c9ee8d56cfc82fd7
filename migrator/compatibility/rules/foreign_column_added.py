"""A column is added to a foreign table."""

from __future__ import annotations

from migrator.compatibility.questions import is_column_of_table
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.is_("added", "column")
        and is_column_of_table(case)
        and (table := case.relation()) is not None
        and table.kind == "foreign table"
    )


RULE = Rule(
    id="foreign-column-added",
    level="risky",
    title="A column is added to a foreign table",
    why=("Where the other server has no such column, SELECT * and INSERTs of the previous version fail with 42703."),
    instead="Add it to the table of the other server first.",
    source="PostgreSQL manual, CREATE FOREIGN TABLE",
    applies=_applies,
)
