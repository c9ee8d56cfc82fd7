"""A column of a view is dropped."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", "column")


RULE = Rule(
    id="view-column-dropped",
    level="breaks",
    title="A column of a view is dropped",
    why="The previous version's statements that name it fail with 42703.",
    instead="Leave it in the view, or give the new version a view of its own.",
    source="PostgreSQL manual, CREATE VIEW",
    contraction=True,
    applies=_applies,
)
