"""A table is renamed or moved to another schema."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("renamed", *TABLES)


RULE = Rule(
    id="table-renamed",
    level="breaks",
    title="A table is renamed or moved to another schema",
    why="The previous version's statements name the old one and fail with 42P01.",
    instead=(
        "Leave a view with the old name (simple views take writes too), or create a new table and "
        "write to both; drop the old name when no version uses it."
    ),
    source="squawk renaming-table; PostgreSQL manual, ALTER TABLE",
    applies=_applies,
)
