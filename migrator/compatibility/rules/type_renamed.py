"""A type is renamed."""

from __future__ import annotations

from migrator.compatibility.questions import TYPES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("renamed", *TYPES)


RULE = Rule(
    id="type-renamed",
    level="breaks",
    title="A type is renamed",
    why="The previous version's casts name the old one and fail with 42704.",
    instead="Leave its name.",
    source="PostgreSQL manual, ALTER TYPE",
    applies=_applies,
)
