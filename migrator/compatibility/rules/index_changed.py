"""An index is defined in another way."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "index", attribute="definition")


RULE = Rule(
    id="index-changed",
    level="risky",
    title="An index is defined in another way",
    why=(
        "The previous version's queries may no longer find a use for it; a unique one admits "
        "other rows, and ON CONFLICT infers it no longer."
    ),
    instead="Create the new index under another name (CONCURRENTLY), drop the old one when nothing uses it.",
    source="PostgreSQL manual, CREATE INDEX",
    applies=_applies,
)
