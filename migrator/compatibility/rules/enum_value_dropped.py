"""An enum loses a value."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "enum", attribute="labels") and bool(case.gone)


RULE = Rule(
    id="enum-value-dropped",
    level="breaks",
    title="An enum loses a value",
    why="The previous version's statements that write or compare the value fail with 22P02.",
    instead=("Deploy a version that does not use it, and leave it in the type: a value too many does no harm."),
    source="PostgreSQL manual, ALTER TYPE",
    contraction=True,
    applies=_applies,
)
