"""A view is dropped."""

from __future__ import annotations

from migrator.compatibility.questions import VIEWS
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", *VIEWS)


RULE = Rule(
    id="view-dropped",
    level="breaks",
    title="A view is dropped",
    why="Every statement of the previous version that names it fails with 42P01.",
    instead="Keep it until no version reads it; it can be redefined over new tables meanwhile.",
    source="PostgreSQL manual, DROP VIEW",
    contraction=True,
    applies=_applies,
)
