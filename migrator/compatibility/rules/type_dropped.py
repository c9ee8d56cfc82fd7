"""A type is dropped."""

from __future__ import annotations

from migrator.compatibility.questions import TYPES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", *TYPES)


RULE = Rule(
    id="type-dropped",
    level="breaks",
    title="A type is dropped",
    why="Casts to it and arguments of it fail with 42704.",
    instead="Deploy a version that does not use it; drop it with the version after that one.",
    source="PostgreSQL manual, DROP TYPE",
    contraction=True,
    applies=_applies,
)
