"""A composite type gets, loses or changes a column."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "composite type", attribute="columns")


RULE = Rule(
    id="composite-type-changed",
    level="breaks",
    title="A composite type gets, loses or changes a column",
    why=("ROW(...) values of the previous version no longer fit (42846), and it reads values of another shape."),
    instead="Create a new type beside the old one.",
    source="PostgreSQL manual, ALTER TYPE",
    applies=_applies,
)
