"""A column is added to a table whose rows a function returns by listing their columns."""

from __future__ import annotations

from migrator.compatibility.questions import is_column_of_table
from migrator.compatibility.row_types import row_type_function
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.kind == "added" and is_column_of_table(case) and row_type_function(case) is not None


RULE = Rule(
    id="row-type-function",
    level="breaks",
    title="A column is added to a table whose rows a function returns by listing their columns",
    why="Every call of the function fails with 42P13 or 42804: its rows lack the new column.",
    instead="Redefine the function in the same migration, to return SELECT * or a type of its own.",
    source="PostgreSQL manual, 38.5 Query Language (SQL) Functions",
    applies=_applies,
)
