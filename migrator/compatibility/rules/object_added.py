"""A table, view, type, function, sequence, schema or extension is added."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.kind == "added"


RULE = Rule(
    id="object-added",
    level="safe",
    title="A table, view, type, function, sequence, schema or extension is added",
    why="The previous version does not know it.",
    source="PostgreSQL manual, 5.9 Schemas",
    applies=_applies,
)
