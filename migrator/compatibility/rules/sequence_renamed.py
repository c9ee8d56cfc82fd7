"""A sequence is renamed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("renamed", "sequence")


RULE = Rule(
    id="sequence-renamed",
    level="breaks",
    title="A sequence is renamed",
    why="nextval('...') of the previous version fails with 42P01.",
    instead="Leave its name; defaults of columns follow a renaming, statements do not.",
    source="PostgreSQL manual, ALTER SEQUENCE",
    applies=_applies,
)
