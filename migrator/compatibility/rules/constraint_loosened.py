"""A CHECK demands less than before."""

from __future__ import annotations

from migrator.compatibility.questions import demanded_before, is_constraint
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_constraint(case, "changed", "check") and demanded_before(case)


RULE = Rule(
    id="constraint-loosened",
    level="risky",
    title="A CHECK demands less than before",
    why="The previous version goes on writing, but may read rows it does not expect.",
    instead="Let the new version write such rows only when the previous one is gone.",
    source="PostgreSQL manual, 5.4 Constraints",
    contraction=True,
    applies=_applies,
)
