"""A column takes more values than before, stored as before."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule
from migrator.compatibility.types import compare


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="type") and compare(str(case.was), str(case.now)) == "widened"


RULE = Rule(
    id="column-type-widened",
    level="safe",
    title="A column takes more values than before, stored as before",
    why="Old values stay as they are stored, and the table is not rewritten.",
    source="PostgreSQL manual, ALTER TABLE, Notes",
    applies=_applies,
)
