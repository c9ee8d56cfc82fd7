"""An extension is dropped."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", "extension")


RULE = Rule(
    id="extension-dropped",
    level="breaks",
    title="An extension is dropped",
    why="Its functions, types and operators are gone: 42883, 42704.",
    instead="Deploy a version that does not use it; drop it with the version after that one.",
    source="PostgreSQL manual, DROP EXTENSION",
    contraction=True,
    applies=_applies,
)
