"""A constraint or unique index is put on new columns that refuses no row without them."""

from __future__ import annotations

from migrator.compatibility.new_columns import condition_of_new_rows, never_collides
from migrator.compatibility.questions import is_constraint
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (is_constraint(case, "added", "check") and condition_of_new_rows(case) in ("true", "null")) or (
        (
            is_constraint(case, "added", "unique", "exclusion", "primary key")
            or (case.is_("added", "index") and case.given("unique") is True)
        )
        and never_collides(case)
    )


RULE = Rule(
    id="new-column-constrained",
    level="safe",
    title="A constraint or unique index is put on new columns that refuses no row without them",
    why=(
        "The previous version does not know the columns: its rows hold NULL there, or the default, which satisfies it."
    ),
    source="PostgreSQL manual, 5.4 Constraints",
    applies=_applies,
)
