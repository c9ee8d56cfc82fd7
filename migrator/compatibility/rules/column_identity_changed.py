"""A column becomes an identity column that takes values, or keeps a default instead."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="identity")


RULE = Rule(
    id="column-identity-changed",
    level="safe",
    title="A column becomes an identity column that takes values, or keeps a default instead",
    why="INSERTs with and without the column go on working.",
    source="PostgreSQL manual, CREATE TABLE, GENERATED ... AS IDENTITY",
    applies=_applies,
)
