"""A column that is NOT NULL, or of a domain that is, loses its default."""

from __future__ import annotations

from migrator.compatibility.questions import is_column_of_table, is_required
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.is_("changed", "column", attribute="default")
        and case.now is None
        and is_column_of_table(case)
        and is_required(case)
    )


RULE = Rule(
    id="column-default-dropped",
    level="breaks",
    title="A column that is NOT NULL, or of a domain that is, loses its default",
    why="INSERTs of the previous version that leave the column out fail with 23502.",
    instead="Deploy a version that always writes it; drop the default with the version after that one.",
    source="PostgreSQL manual, ALTER TABLE, DROP DEFAULT",
    contraction=True,
    applies=_applies,
)
