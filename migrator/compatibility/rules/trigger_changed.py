"""A trigger is added, dropped, changed, renamed, or switched on or off."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object == "trigger"


RULE = Rule(
    id="trigger-changed",
    level="risky",
    title="A trigger is added, dropped, changed, renamed, or switched on or off",
    why=(
        "The previous version's writes do more, less or something else than before; a trigger that raises refuses them."
    ),
    instead=(
        "Let the trigger do nothing for rows that only the previous version writes, or nothing that it would notice."
    ),
    source="PostgreSQL manual, CREATE TRIGGER",
    applies=_applies,
)
