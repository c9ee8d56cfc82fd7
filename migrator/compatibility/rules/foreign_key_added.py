"""A foreign key is put on an existing table and validated at once."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_constraint(case, "added", "foreign key") and case.given("validated") is True


RULE = Rule(
    id="foreign-key-added",
    level="breaks",
    title="A foreign key is put on an existing table and validated at once",
    why=(
        "The previous version's rows without a counterpart fail with 23503, and both tables are "
        "locked against writes while old rows are looked through."
    ),
    instead=(
        "Deploy a version that writes only what has a counterpart; add it NOT VALID; VALIDATE "
        "CONSTRAINT in a later transaction."
    ),
    source="squawk adding-foreign-key-constraint; PostgreSQL manual, ALTER TABLE, NOT VALID",
    contraction=True,
    applies=_applies,
)
