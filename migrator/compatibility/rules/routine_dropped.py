"""A function or procedure is dropped, or takes other arguments."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", *ROUTINES)


RULE = Rule(
    id="routine-dropped",
    level="breaks",
    title="A function or procedure is dropped, or takes other arguments",
    why="The previous version's calls fail with 42883, or with 42725 where several others take them.",
    instead=(
        "Create the new one beside it (functions are told apart by their arguments); drop the old "
        "one when no version calls it."
    ),
    source="PostgreSQL manual, DROP FUNCTION",
    contraction=True,
    applies=_applies,
)
