"""A table becomes a partition of another one."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", *TABLES, attribute="partition of") and case.now is not None


RULE = Rule(
    id="partition-attached",
    level="risky",
    title="A table becomes a partition of another one",
    why=(
        "A previous version that writes to it directly is held to the partition's bounds (23514); "
        "the parent's readers see its rows."
    ),
    instead=(
        "Add a CHECK constraint of the same bounds NOT VALID and validate it first: then ATTACH "
        "PARTITION holds its lock only for a moment."
    ),
    source="PostgreSQL manual, 5.11 Table Partitioning",
    applies=_applies,
)
