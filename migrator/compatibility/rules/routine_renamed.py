"""A function or procedure is renamed."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("renamed", *ROUTINES)


RULE = Rule(
    id="routine-renamed",
    level="breaks",
    title="A function or procedure is renamed",
    why="The previous version's calls fail with 42883.",
    instead="Create a second one under the new name; drop the old one when no version calls it.",
    source="PostgreSQL manual, ALTER FUNCTION",
    applies=_applies,
)
