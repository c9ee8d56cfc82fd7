"""A function is planned in another way."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object in ROUTINES and case.attribute in ("cost", "parallel", "leakproof", "support")


RULE = Rule(
    id="routine-planning-changed",
    level="safe",
    title="A function is planned in another way",
    why="Results stay what they are.",
    source="PostgreSQL manual, CREATE FUNCTION",
    applies=_applies,
)
