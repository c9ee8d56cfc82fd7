"""A table is added that inherits from one that was there."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES, inherits_from_old
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("added", *TABLES) and inherits_from_old(case)


RULE = Rule(
    id="child-added",
    level="risky",
    title="A table is added that inherits from one that was there",
    why="Queries on the parent see the new table's rows as well, and UPDATE and DELETE change them.",
    instead="CREATE TABLE ... (LIKE parent), which copies the columns and inherits nothing.",
    source="PostgreSQL manual, 5.10 Inheritance",
    applies=_applies,
)
