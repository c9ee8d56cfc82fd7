"""A new table refers to an existing one, and its rows go or let go with it."""

from __future__ import annotations

from migrator.compatibility.questions import is_new_foreign_key
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return is_new_foreign_key(case) and case.given("on delete") in ("cascade", "set null", "set default")


RULE = Rule(
    id="foreign-key-cascading",
    level="safe",
    title="A new table or column refers to existing rows, and gives way when they are deleted",
    why="The previous version deletes them as before.",
    source="PostgreSQL manual, 5.4.5 Foreign Keys",
    applies=_applies,
)
