"""A view is renamed."""

from __future__ import annotations

from migrator.compatibility.questions import VIEWS
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("renamed", *VIEWS)


RULE = Rule(
    id="view-renamed",
    level="breaks",
    title="A view is renamed",
    why="The previous version's statements name the old one and fail with 42P01.",
    instead="Create a second view under the new name; drop the old one when no version reads it.",
    source="PostgreSQL manual, ALTER VIEW",
    applies=_applies,
)
