"""A default is changed, or dropped from a nullable column."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="default")


RULE = Rule(
    id="column-default-changed",
    level="risky",
    title="A default is changed, or dropped from a nullable column",
    why="INSERTs of the previous version that leave the column out write another value than it expects.",
    instead="Let the new version write the value itself; change the default when the previous one is gone.",
    source="PostgreSQL manual, ALTER TABLE, SET DEFAULT",
    contraction=True,
    applies=_applies,
)
