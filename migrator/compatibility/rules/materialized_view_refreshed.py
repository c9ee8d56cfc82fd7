"""A materialized view gets its rows."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "materialized view", attribute="populated")


RULE = Rule(
    id="materialized-view-refreshed",
    level="safe",
    title="A materialized view gets its rows",
    why="It can be read now.",
    source="PostgreSQL manual, REFRESH MATERIALIZED VIEW",
    applies=_applies,
)
