"""A column is renamed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("renamed", "column")


RULE = Rule(
    id="column-renamed",
    level="breaks",
    title="A column is renamed",
    why="The previous version's statements name the old column and fail with 42703.",
    instead=(
        "Add the new column, write to both (a trigger does it for the version that does not "
        "know), copy old rows in batches, read the new one; drop the old one with a later "
        "version."
    ),
    source="squawk renaming-column; PostgreSQL manual, ALTER TABLE",
    applies=_applies,
)
