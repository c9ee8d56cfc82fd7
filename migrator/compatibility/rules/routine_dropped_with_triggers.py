"""A function is dropped that functions of dropped triggers called."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES, was_called_by_triggers_alone
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", *ROUTINES) and was_called_by_triggers_alone(case)


RULE = Rule(
    id="routine-dropped-with-triggers",
    level="risky",
    title="A function or procedure is dropped with the trigger functions that called it",
    why="Nothing else in the schema called it, so it looks like their own; where the previous version calls it too, that fails with 42883.",
    instead="Drop it when no version calls it.",
    source="PostgreSQL manual, DROP FUNCTION",
    contraction=True,
    applies=_applies,
)
