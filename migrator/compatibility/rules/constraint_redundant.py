"""A constraint is dropped whose demand others still make."""

from __future__ import annotations

from migrator.compatibility.questions import demanded_still
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.is_("removed", "constraint")
        and case.given("type") in ("check", "exclusion", "foreign key")
        and demanded_still(case)
    )


RULE = Rule(
    id="constraint-redundant",
    level="safe",
    title="A constraint is dropped whose demand others still make",
    why="What it refused is refused as before.",
    source="PostgreSQL manual, 5.4 Constraints",
    applies=_applies,
)
