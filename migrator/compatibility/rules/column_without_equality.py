"""A column is added whose type has no equality."""

from __future__ import annotations

from migrator.compatibility.questions import has_no_equality, is_column_of_table
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.kind == "added" and is_column_of_table(case) and has_no_equality(case)


RULE = Rule(
    id="column-without-equality",
    level="risky",
    title="A column is added whose type has no equality",
    why=(
        "SELECT DISTINCT, GROUP BY and UNION of all columns fail with 42883 (could not identify an equality operator)."
    ),
    instead="Use jsonb in place of json; put a column of another such type into a table of its own.",
    source="strong_migrations, Adding a json column; Eugene E3",
    applies=_applies,
)
