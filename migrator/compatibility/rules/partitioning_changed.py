"""A table becomes partitioned, or is partitioned in another way."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "table", attribute="partitioned by")


RULE = Rule(
    id="partitioning-changed",
    level="risky",
    title="A table becomes partitioned, or is partitioned in another way",
    why=(
        "Rows that fit no partition are refused (23514), unique keys must hold the partition key, "
        "and with them ON CONFLICT changes."
    ),
    instead=(
        "Create the partitioned table beside the old one, write to both, copy in batches, and "
        "change over by name in one transaction once they agree."
    ),
    source="PostgreSQL manual, 5.11 Table Partitioning",
    applies=_applies,
)
