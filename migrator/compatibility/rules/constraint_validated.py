"""A constraint is validated."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "constraint", attribute="validated")


RULE = Rule(
    id="constraint-validated",
    level="safe",
    title="A constraint is validated",
    why="New rows were held to it before; validating stops neither readers nor writers.",
    source="PostgreSQL manual, ALTER TABLE, VALIDATE CONSTRAINT",
    applies=_applies,
)
