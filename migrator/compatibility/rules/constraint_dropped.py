"""A CHECK, EXCLUDE or FOREIGN KEY constraint is dropped."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", "constraint")


RULE = Rule(
    id="constraint-dropped",
    level="risky",
    title="A CHECK, EXCLUDE or FOREIGN KEY constraint is dropped",
    why=(
        "The previous version goes on writing, but may read rows it does not expect, and ON DELETE no longer happens."
    ),
    instead="Let the new version write such rows only when the previous one is gone.",
    source="PostgreSQL manual, 5.4 Constraints",
    contraction=True,
    applies=_applies,
)
