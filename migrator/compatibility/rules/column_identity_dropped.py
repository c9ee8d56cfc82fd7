"""A column is no longer an identity column."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="identity") and case.now is None and case.given("default") is None


RULE = Rule(
    id="column-identity-dropped",
    level="breaks",
    title="A column is no longer an identity column",
    why="INSERTs of the previous version that leave the column out fail with 23502, or write NULL where it may be null.",
    instead="Set a default (nextval of a sequence of its own) in the same transaction.",
    source="PostgreSQL manual, ALTER TABLE, DROP IDENTITY",
    contraction=True,
    applies=_applies,
)
