"""A function returns another type."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object in ROUTINES and case.attribute == "returns"


RULE = Rule(
    id="routine-result-changed",
    level="breaks",
    title="A function returns another type",
    why="The previous version reads a value of another type or shape.",
    instead="Create the new one under another name.",
    source="PostgreSQL manual, CREATE FUNCTION",
    applies=_applies,
)
