"""A sequence belongs to another column, or to none."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "sequence", attribute="owned by")


RULE = Rule(
    id="sequence-ownership-changed",
    level="safe",
    title="A sequence belongs to another column, or to none",
    why="It is only dropped along with another column.",
    source="PostgreSQL manual, ALTER SEQUENCE, OWNED BY",
    applies=_applies,
)
