"""A new partition refuses rows that the default partition took."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES, demands_more_than_default
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("added", *TABLES) and case.given("partition of") is not None and demands_more_than_default(case)


RULE = Rule(
    id="partition-added-narrower",
    level="breaks",
    title="A new partition demands more of its rows than the default partition that has taken them",
    why="The previous version's rows that do not satisfy it fail with 23514, 23502 or 23505; they went to the default partition.",
    instead="Add the partition without; deploy a version whose rows satisfy it; add the constraint NOT VALID and validate it.",
    source="PostgreSQL manual, 5.11 Table Partitioning",
    contraction=True,
    applies=_applies,
)
