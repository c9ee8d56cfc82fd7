"""A policy of a table without row security is changed."""

from __future__ import annotations

from migrator.compatibility.questions import row_security
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object == "policy" and not row_security(case)


RULE = Rule(
    id="policy-unused",
    level="safe",
    title="A policy of a table without row security is changed",
    why="Policies have no effect before ENABLE ROW LEVEL SECURITY.",
    source="PostgreSQL manual, CREATE POLICY",
    applies=_applies,
)
