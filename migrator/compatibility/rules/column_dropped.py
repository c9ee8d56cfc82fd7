"""A column is dropped."""

from __future__ import annotations

from migrator.compatibility.questions import is_column_of_table
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", "column") and is_column_of_table(case)


RULE = Rule(
    id="column-dropped",
    level="breaks",
    title="A column is dropped",
    why="The previous version's statements that name it fail with 42703, and its values are gone.",
    instead=(
        "Deploy a version that neither reads nor writes it (drop its NOT NULL or give it a "
        "default first); drop it with the version after that one."
    ),
    source="squawk ban-drop-column; PostgreSQL manual, ALTER TABLE",
    contraction=True,
    applies=_applies,
)
