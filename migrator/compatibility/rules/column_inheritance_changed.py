"""A column or constraint is inherited where it was declared, or the other way round."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.attribute == "inherited"


RULE = Rule(
    id="column-inheritance-changed",
    level="safe",
    title="A column or constraint is inherited where it was declared, or the other way round",
    why="It is there all the same.",
    source="PostgreSQL manual, 5.10 Inheritance",
    applies=_applies,
)
