"""A function of an existing name takes other arguments."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES, replaces, same_name_routines
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.is_("added", *ROUTINES)
        and case.new is not None
        and bool(same_name_routines(case.new, case.before))
        and not replaces(case)
    )


RULE = Rule(
    id="routine-overloaded",
    level="risky",
    title="A function of an existing name takes other arguments",
    why="Calls of the previous version may reach the new one, or fail as ambiguous with 42725.",
    instead="Give it a name of its own.",
    source="PostgreSQL manual, 10.3 Functions",
    applies=_applies,
)
