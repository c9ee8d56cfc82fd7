"""A constraint demands what is demanded already."""

from __future__ import annotations

from migrator.compatibility.questions import demanded_before, was_another
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        (case.is_("added", "constraint") or case.is_("changed", "constraint", attribute="definition"))
        and case.given("type") in ("check", "exclusion", "foreign key")
        and demanded_before(case)
        and not was_another(case)
    )


RULE = Rule(
    id="constraint-implied",
    level="safe",
    title="A constraint demands what is demanded already",
    why="No row is refused that was not refused before.",
    source="PostgreSQL manual, 5.4 Constraints",
    applies=_applies,
)
