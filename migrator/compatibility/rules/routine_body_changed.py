"""A function does something else."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object in ROUTINES and case.attribute in (
        "definition",
        "language",
        "strict",
        "volatility",
        "security definer",
        "settings",
        "window",
    )


RULE = Rule(
    id="routine-body-changed",
    level="risky",
    title="A function does something else",
    why="The previous version calls the new body.",
    instead="Give the new behaviour a name, or an argument with a default, of its own.",
    source="PostgreSQL manual, CREATE FUNCTION",
    applies=_applies,
)
