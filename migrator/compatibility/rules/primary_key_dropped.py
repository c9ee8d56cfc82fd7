"""A primary key is dropped."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint, unique_still
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_constraint(case, "removed", "primary key") and not unique_still(case)


RULE = Rule(
    id="primary-key-dropped",
    level="breaks",
    title="A primary key is dropped",
    why=("ON CONFLICT on its columns fails with 42P10, and nothing keeps the previous version's duplicates out."),
    instead="Keep a unique index on the same columns until no version relies on it.",
    source="PostgreSQL manual, INSERT, ON CONFLICT",
    contraction=True,
    applies=_applies,
)
