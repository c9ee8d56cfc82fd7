"""An index is renamed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("renamed", "index")


RULE = Rule(
    id="index-renamed",
    level="safe",
    title="An index is renamed",
    why="Statements do not name indexes.",
    source="PostgreSQL manual, ALTER INDEX",
    applies=_applies,
)
