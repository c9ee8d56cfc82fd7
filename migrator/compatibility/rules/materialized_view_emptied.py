"""A materialized view is left without rows."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "materialized view", attribute="populated") and case.now is False


RULE = Rule(
    id="materialized-view-emptied",
    level="breaks",
    title="A materialized view is left without rows",
    why="Reading it fails with 55000 until it is refreshed.",
    instead="REFRESH MATERIALIZED VIEW CONCURRENTLY, which keeps it readable.",
    source="PostgreSQL manual, REFRESH MATERIALIZED VIEW",
    applies=_applies,
)
