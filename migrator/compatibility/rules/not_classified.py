"""Anything that no other rule is about."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(_case: Case) -> bool:
    return True


RULE = Rule(
    id="not-classified",
    level="risky",
    title="Anything that no other rule is about",
    why="No rule knows what the previous version makes of it.",
    instead="Look at the change, and try the previous version on it in the rehearsal.",
    source="none",
    applies=_applies,
)
