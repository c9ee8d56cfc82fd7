"""A table inherits from other tables than before."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", *TABLES, attribute="inherits")


RULE = Rule(
    id="inheritance-changed",
    level="risky",
    title="A table inherits from other tables than before",
    why="Queries on the parent see other rows than before.",
    instead=(
        "Name the tables in the queries of the new version, and change the inheritance when no version relies on it."
    ),
    source="PostgreSQL manual, 5.10 Inheritance",
    applies=_applies,
)
