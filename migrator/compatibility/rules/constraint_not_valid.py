"""A constraint is added NOT VALID."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("added", "constraint")


RULE = Rule(
    id="constraint-not-valid",
    level="risky",
    title="A constraint is added NOT VALID",
    why=("Old rows are not looked at, but new ones are: the previous version's rows that do not satisfy it fail."),
    instead="Deploy a version whose rows satisfy it first.",
    source="squawk constraint-missing-not-valid; PostgreSQL manual, ALTER TABLE, NOT VALID",
    contraction=True,
    applies=_applies,
)
