"""NOT NULL is set on a column without default."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="nullable") and case.now is False


RULE = Rule(
    id="column-not-null-set",
    level="breaks",
    title="NOT NULL is set on a column without default",
    why="INSERTs of the previous version that leave the column out, or write NULL, fail with 23502.",
    instead=(
        "Deploy a version that always writes it; fill old rows in batches; add CHECK (column IS "
        "NOT NULL) NOT VALID, validate it, then set NOT NULL, which then needs no scan."
    ),
    source="squawk adding-not-nullable-field; PostgreSQL manual, ALTER TABLE, SET NOT NULL",
    contraction=True,
    applies=_applies,
)
