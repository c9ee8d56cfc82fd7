"""A column that a constraint holds gets a default."""

from __future__ import annotations

from migrator.compatibility.new_columns import default_is_held
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="default") and case.was is None and default_is_held(case)


RULE = Rule(
    id="default-held",
    level="risky",
    title="A column that a constraint holds gets a default",
    why=(
        "INSERTs of the previous version that leave the column out write the default in place of NULL: a "
        "second one fails with 23505 where it is unique, or the first with 23503 or 23514."
    ),
    instead="Let the new version write the value itself.",
    source="PostgreSQL manual, ALTER TABLE, SET DEFAULT",
    applies=_applies,
)
