"""An invalid index becomes valid."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "index", attribute="valid")


RULE = Rule(
    id="index-valid",
    level="safe",
    title="An invalid index becomes valid",
    why="Queries can use it now.",
    source="PostgreSQL manual, CREATE INDEX",
    applies=_applies,
)
