"""A sequence is dropped."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", "sequence")


RULE = Rule(
    id="sequence-dropped",
    level="breaks",
    title="A sequence is dropped",
    why="nextval('...') of the previous version fails with 42P01.",
    instead="Deploy a version that does not use it; drop it with the version after that one.",
    source="PostgreSQL manual, DROP SEQUENCE",
    contraction=True,
    applies=_applies,
)
