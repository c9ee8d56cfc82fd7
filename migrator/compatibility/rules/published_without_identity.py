"""A table is published, and nothing tells its rows apart."""

from __future__ import annotations

from migrator.compatibility.publishing import refuses_changes
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return refuses_changes(case)


RULE = Rule(
    id="published-without-identity",
    level="breaks",
    title="A table is published, and nothing tells its rows apart",
    why=(
        "UPDATE and DELETE of the previous version fail with 55000 (cannot update table because it does not "
        "have a replica identity and publishes updates)."
    ),
    instead=(
        "Give the table a primary key or another replica identity first; or publish inserts alone (publish = 'insert')."
    ),
    source="PostgreSQL manual, 31.1 Publication",
    applies=_applies,
)
