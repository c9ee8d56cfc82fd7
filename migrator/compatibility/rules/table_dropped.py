"""A table is dropped."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", *TABLES)


RULE = Rule(
    id="table-dropped",
    level="breaks",
    title="A table is dropped",
    why="Every statement of the previous version that names it fails with 42P01, and the rows are gone.",
    instead="Deploy a version that no longer uses it; drop it with the version after that one.",
    source="squawk ban-drop-table; PostgreSQL manual, DROP TABLE",
    contraction=True,
    applies=_applies,
)
