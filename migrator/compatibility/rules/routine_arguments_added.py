"""A function gets arguments with defaults."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.is_("changed", *ROUTINES, attribute="arguments")
        and case.old is not None
        and case.new is not None
        and case.old.name != case.new.name
        and (case.was == "" or str(case.now).startswith(f"{case.was}, "))
    )


RULE = Rule(
    id="routine-arguments-added",
    level="safe",
    title="A function gets arguments with defaults, behind those it had",
    why="Calls with the old arguments, by place or by name, reach the new function.",
    source="PostgreSQL manual, CREATE FUNCTION",
    applies=_applies,
)
