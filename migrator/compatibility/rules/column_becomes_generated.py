"""A column becomes a generated one."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="generated") and case.was is None


RULE = Rule(
    id="column-becomes-generated",
    level="breaks",
    title="A column becomes a generated one",
    why="The previous version's writes to it fail with 428C9.",
    instead="Add the generated column under another name; drop the old one with a later version.",
    source="PostgreSQL manual, 5.3 Generated Columns",
    contraction=True,
    applies=_applies,
)
