"""A column is added that old INSERTs need not know."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("added", "column")


RULE = Rule(
    id="column-added",
    level="safe",
    title="A column is added that old INSERTs need not know",
    why="Statements that name their columns do not see it.",
    source="PostgreSQL manual, ALTER TABLE, Notes",
    applies=_applies,
)
