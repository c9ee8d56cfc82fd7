"""A unique constraint or unique index is put on an existing table."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint, unique_as_before, unique_before
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        is_constraint(case, "added", "unique")
        or is_constraint(case, "changed", "unique")
        or (case.is_("added", "index") and case.given("unique") is True)
        or (
            case.is_("changed", "index", attribute="definition")
            and case.given("unique") is True
            and not unique_as_before(case)
            and not unique_before(case)
        )
    )


RULE = Rule(
    id="unique-added",
    level="breaks",
    title="A unique constraint or unique index is put on an existing table, or demands more than before",
    why="The previous version may write duplicates: they fail with 23505.",
    instead=(
        "Deploy a version that writes no duplicates, clean up old rows, CREATE UNIQUE INDEX "
        "CONCURRENTLY with the version after that one."
    ),
    source="squawk disallowed-unique-constraint; PostgreSQL manual, 11.6 Unique Indexes",
    contraction=True,
    applies=_applies,
)
