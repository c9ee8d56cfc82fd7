"""A partition is dropped with its rows."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", *TABLES) and case.given("partition of") is not None


RULE = Rule(
    id="partition-dropped",
    level="risky",
    title="A partition is dropped with its rows",
    why=(
        "The previous version no longer finds these rows, and cannot insert rows for them unless "
        "there is a default partition."
    ),
    instead=("Detach it (DETACH PARTITION CONCURRENTLY), keep it until nothing misses its rows, then drop it."),
    source="PostgreSQL manual, 5.11 Table Partitioning",
    applies=_applies,
)
