"""The replica identity is changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.attribute == "replica identity"


RULE = Rule(
    id="replica-identity-changed",
    level="risky",
    title="The replica identity is changed",
    why=(
        "Where the table is published, UPDATE and DELETE fail with 55000 if its replica identity "
        "is missing, and subscribers see other old keys."
    ),
    instead="Create the new unique index first; keep the old one until subscribers follow.",
    source="PostgreSQL manual, ALTER TABLE, REPLICA IDENTITY",
    applies=_applies,
)
