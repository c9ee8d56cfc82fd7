"""An implicit cast is added."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("added", "cast") and case.given("castcontext") == "i"


RULE = Rule(
    id="cast-added",
    level="risky",
    title="An implicit cast is added",
    why="Operators and functions that fitted in one way may now fit in several: 42725, or another one than before is called.",
    instead="Add it AS ASSIGNMENT, or write CAST in the new version's statements.",
    source="PostgreSQL manual, CREATE CAST",
    applies=_applies,
)
