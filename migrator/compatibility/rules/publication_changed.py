"""A publication is added, dropped or changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object in ("publication", "published table", "published schema")


RULE = Rule(
    id="publication-changed",
    level="risky",
    title="A publication is added, dropped or changed",
    why=(
        "Subscribers miss rows or get more; a published table without a replica identity refuses "
        "UPDATE and DELETE (55000)."
    ),
    instead="Tell the subscribers first; make sure that each table has a primary key.",
    source="PostgreSQL manual, 31.1 Publication",
    applies=_applies,
)
