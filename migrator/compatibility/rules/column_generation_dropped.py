"""A generated column becomes an ordinary one."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="generated") and case.now is None


RULE = Rule(
    id="column-generation-dropped",
    level="breaks",
    title="A generated column becomes an ordinary one",
    why="The previous version never writes it, so its new rows have no value there.",
    instead="Keep it filled by a trigger until no version runs that does not write it.",
    source="PostgreSQL manual, ALTER TABLE, DROP EXPRESSION",
    contraction=True,
    applies=_applies,
)
