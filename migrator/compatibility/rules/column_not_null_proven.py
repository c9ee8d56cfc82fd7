"""NOT NULL is set where a constraint or the column's domain refuses NULL already."""

from __future__ import annotations

from migrator.compatibility.questions import null_refused_before
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="nullable") and case.now is False and null_refused_before(case)


RULE = Rule(
    id="column-not-null-proven",
    level="safe",
    title="NOT NULL is set where a constraint or the column's domain refuses NULL already",
    why="It demands what was demanded before; where the constraint is valid, no row is looked at.",
    source="PostgreSQL manual, ALTER TABLE, SET NOT NULL; Atlas PG303; strong_migrations",
    applies=_applies,
)
