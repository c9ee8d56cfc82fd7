"""A unique constraint or index is replaced by another on the same columns."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_constraint(case, "removed", "unique", "primary key") or (
        case.is_("removed", "index") and case.given("unique") is True
    )


RULE = Rule(
    id="unique-replaced",
    level="risky",
    title="A unique constraint or index is replaced by another on the same columns",
    why=(
        "ON CONFLICT (columns) goes on working, but ON CONFLICT ON CONSTRAINT names it, and so "
        "does a program that reads the constraint's name from errors."
    ),
    instead="Keep the name, by ALTER INDEX ... RENAME in the same transaction.",
    source="PostgreSQL manual, INSERT, ON CONFLICT",
    contraction=True,
    applies=_applies,
)
