"""A function gets arguments with defaults."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES, extensions
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", *ROUTINES) and bool(extensions(case))


RULE = Rule(
    id="routine-arguments-added",
    level="safe",
    title="A function gets arguments with defaults",
    why="Calls with the old arguments reach the new function.",
    source="PostgreSQL manual, CREATE FUNCTION",
    applies=_applies,
)
