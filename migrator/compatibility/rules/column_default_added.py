"""A column gets a default."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="default") and case.was is None


RULE = Rule(
    id="column-default-added",
    level="safe",
    title="A column gets a default",
    why=("Old rows keep their values; INSERTs that leave the column out write the default instead of NULL."),
    source="PostgreSQL manual, ALTER TABLE, SET DEFAULT",
    applies=_applies,
)
