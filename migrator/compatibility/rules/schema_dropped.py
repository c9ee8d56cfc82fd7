"""A schema is dropped."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", "schema")


RULE = Rule(
    id="schema-dropped",
    level="breaks",
    title="A schema is dropped",
    why="Every statement of the previous version that names it fails with 3F000 or 42P01.",
    instead="Deploy a version that no longer uses it; drop it with the version after that one.",
    source="PostgreSQL manual, DROP SCHEMA",
    contraction=True,
    applies=_applies,
)
