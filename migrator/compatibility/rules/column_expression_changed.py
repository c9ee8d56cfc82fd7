"""A generated column is computed in another way."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="generated")


RULE = Rule(
    id="column-expression-changed",
    level="risky",
    title="A generated column is computed in another way",
    why=(
        "The previous version reads other values; the change writes the whole table anew under a "
        "lock that also stops readers."
    ),
    instead="Add a second generated column; drop the old one with a later version.",
    source="PostgreSQL manual, ALTER TABLE, SET EXPRESSION",
    applies=_applies,
)
