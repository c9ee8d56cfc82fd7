"""A column gets a larger type."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule
from migrator.compatibility.types import compare


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="type") and compare(str(case.was), str(case.now)) == "enlarged"


RULE = Rule(
    id="column-type-enlarged",
    level="risky",
    title="A column gets a larger type",
    why=(
        "The previous version may read a value that its variable does not hold, and PostgreSQL "
        "writes the whole table anew under a lock that also stops readers."
    ),
    instead=(
        "Add a column of the new type, keep both in step by a trigger, fill it in batches, change "
        "over; drop the old one with a later version."
    ),
    source="squawk changing-column-type; PostgreSQL manual, ALTER TABLE, Notes",
    applies=_applies,
)
