"""An argument loses its default."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.object in ROUTINES and case.attribute == "required arguments" and int(str(case.now)) > int(str(case.was))
    )


RULE = Rule(
    id="routine-default-dropped",
    level="breaks",
    title="An argument loses its default",
    why="Calls of the previous version that leave the argument out fail with 42883.",
    instead="Leave the default until no version relies on it.",
    source="PostgreSQL manual, CREATE FUNCTION",
    contraction=True,
    applies=_applies,
)
