"""A privilege is granted."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.attribute == "grants" and case.object != "default privileges"


RULE = Rule(
    id="privilege-granted",
    level="safe",
    title="A privilege is granted",
    why="Nothing that worked stops working.",
    source="PostgreSQL manual, GRANT",
    applies=_applies,
)
