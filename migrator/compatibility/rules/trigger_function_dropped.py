"""A function that only triggers can call is dropped."""

from __future__ import annotations

from migrator.compatibility.questions import is_trigger_function
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.kind in ("removed", "renamed") and is_trigger_function(case.old)


RULE = Rule(
    id="trigger-function-dropped",
    level="safe",
    title="A function that returns trigger or event_trigger is dropped or renamed",
    why="No client can call it (0A000), and a trigger that calls it keeps it from being dropped: what that trigger did is told of the trigger.",
    source="PostgreSQL manual, 39.1 Overview of Trigger Behavior",
    applies=_applies,
)
