"""A new table is a partition of an existing one."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("added", *TABLES) and case.given("partition of") is not None


RULE = Rule(
    id="partition-added",
    level="safe",
    title="A new table is a partition of an existing one",
    why="The parent takes more rows than before.",
    source="PostgreSQL manual, 5.11 Table Partitioning",
    applies=_applies,
)
