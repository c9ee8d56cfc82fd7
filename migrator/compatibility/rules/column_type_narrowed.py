"""A column takes fewer values than before."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule
from migrator.compatibility.types import compare


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="type") and compare(str(case.was), str(case.now)) == "narrowed"


RULE = Rule(
    id="column-type-narrowed",
    level="breaks",
    title="A column takes fewer values than before",
    why="The previous version's writes of values that no longer fit fail with 22001 or 22003.",
    instead=(
        "Deploy a version that writes only what fits; then add a CHECK constraint NOT VALID and "
        "validate it, which demands the same without rewriting the table."
    ),
    source="squawk changing-column-type; PostgreSQL manual, ALTER TABLE, Notes",
    applies=_applies,
)
