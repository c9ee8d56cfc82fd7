"""A new table refers to an existing one, and its rows go or let go with it."""

from __future__ import annotations

from migrator.compatibility.questions import gives_way, is_new_foreign_key
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_new_foreign_key(case) and gives_way(case)


RULE = Rule(
    id="foreign-key-cascading",
    level="safe",
    title="A new table or column refers to existing rows, and gives way when they are deleted or their keys are changed",
    why="The previous version deletes and changes them as before. Only TRUNCATE without CASCADE fails (0A000).",
    source="PostgreSQL manual, 5.4.5 Foreign Keys",
    applies=_applies,
)
