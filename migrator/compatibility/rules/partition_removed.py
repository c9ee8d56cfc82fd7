"""A partition is dropped or detached, and none takes the rows that it took."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES, range_is_left
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (case.is_("removed", *TABLES) and case.given("partition of") is not None and range_is_left(case)) or (
        case.is_("changed", *TABLES, attribute="partition of") and case.now is None and range_is_left(case)
    )


RULE = Rule(
    id="partition-removed",
    level="breaks",
    title="A partition is dropped or detached, and none takes the rows that it took",
    why=(
        "INSERTs of such rows fail with 23514 (no partition of relation found for row), and the previous "
        "version no longer finds those that were there."
    ),
    instead="Wait until no version writes or reads such rows, and say so (contract); or keep a default partition.",
    source="PostgreSQL manual, 5.11 Table Partitioning",
    contraction=True,
    applies=_applies,
)
