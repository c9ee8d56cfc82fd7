"""A partition is detached."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", *TABLES, attribute="partition of")


RULE = Rule(
    id="partition-detached",
    level="risky",
    title="A partition is detached",
    why=(
        "The previous version no longer finds its rows in the parent, and cannot insert rows for "
        "it unless there is a default partition."
    ),
    instead="Use DETACH PARTITION CONCURRENTLY, when no version needs its rows.",
    source="PostgreSQL manual, 5.11 Table Partitioning",
    applies=_applies,
)
