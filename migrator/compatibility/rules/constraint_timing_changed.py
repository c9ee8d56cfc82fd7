"""A constraint is checked at another moment, or does something else on DELETE."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint, same_but_for_timing
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_constraint(case, "changed", "foreign key", "check", "exclusion") and same_but_for_timing(case)


RULE = Rule(
    id="constraint-timing-changed",
    level="risky",
    title="A constraint is checked at another moment, or does something else on DELETE",
    why=(
        "Errors come at COMMIT instead of at the statement, or rows go with the one they refer "
        "to, where the previous version expects otherwise."
    ),
    instead="Let the new version do it in its statements until the previous one is gone.",
    source="PostgreSQL manual, CREATE TABLE, DEFERRABLE",
    applies=_applies,
)
