"""A constraint demands something else than before."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "constraint", attribute="definition")


RULE = Rule(
    id="constraint-changed",
    level="breaks",
    title="A constraint demands something else than before",
    why="The previous version's rows that satisfied it may fail with 23514, 23503 or 23P01.",
    instead="Add the new one NOT VALID under another name, validate it, then drop the old one.",
    source="PostgreSQL manual, ALTER TABLE",
    contraction=True,
    applies=_applies,
)
