"""A CHECK or EXCLUDE constraint is put on an existing table and validated at once."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_constraint(case, "added", "check", "exclusion") and case.given("validated") is True


RULE = Rule(
    id="check-added",
    level="breaks",
    title="A CHECK or EXCLUDE constraint is put on an existing table and validated at once",
    why=(
        "The previous version's rows that do not satisfy it fail with 23514 or 23P01, and the "
        "table is locked while old rows are looked through."
    ),
    instead=("Deploy a version whose rows satisfy it; add it NOT VALID; VALIDATE CONSTRAINT in a later transaction."),
    source="squawk constraint-missing-not-valid; PostgreSQL manual, ALTER TABLE, NOT VALID",
    contraction=True,
    applies=_applies,
)
