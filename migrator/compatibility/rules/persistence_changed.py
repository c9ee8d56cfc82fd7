"""A table becomes unlogged or logged."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "table", "sequence", attribute="persistence")


RULE = Rule(
    id="persistence-changed",
    level="risky",
    title="A table becomes unlogged or logged",
    why=(
        "An unlogged table is emptied by a crash and is not on replicas; the change itself "
        "rewrites the table under a lock that also stops readers."
    ),
    instead="Fill a new table in batches and change over by name.",
    source="PostgreSQL manual, CREATE TABLE, UNLOGGED",
    applies=_applies,
)
