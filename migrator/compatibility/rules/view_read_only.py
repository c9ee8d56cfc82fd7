"""A view, or a column of it, can no longer be written."""

from __future__ import annotations

from migrator.compatibility.questions import stops_writes
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object in ("table", "view", "trigger", "rule") and stops_writes(case)


RULE = Rule(
    id="view-read-only",
    level="breaks",
    title="A view, or a column of it, can no longer be written, or takes the place of a table and cannot be",
    why=("INSERT, UPDATE or DELETE of the previous version fails with 55000 or 0A000 (cannot insert into view)."),
    instead="Give the new query a view of its own, or INSTEAD OF triggers in the same migration.",
    source="PostgreSQL manual, CREATE VIEW, Updatable Views",
    applies=_applies,
)
