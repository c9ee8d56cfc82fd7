"""A column gets another type."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="type")


RULE = Rule(
    id="column-type-changed",
    level="breaks",
    title="A column gets another type",
    why=(
        "The previous version compares, writes and reads values of the old type: 42883, 42804 or "
        "a value it cannot read. PostgreSQL writes the whole table anew under a lock that also "
        "stops readers."
    ),
    instead=(
        "Add a column of the new type, keep both in step by a trigger, fill it in batches, change "
        "over; drop the old one with a later version."
    ),
    source="squawk changing-column-type; PostgreSQL manual, ALTER TABLE",
    applies=_applies,
)
