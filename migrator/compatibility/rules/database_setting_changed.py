"""A setting of the database is changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "database", attribute="settings")


RULE = Rule(
    id="database-setting-changed",
    level="risky",
    title="A setting of the database is changed",
    why="New sessions of the previous version start with it: another search path, time zone or timeout.",
    instead="Set it in the new version's connections.",
    source="PostgreSQL manual, ALTER DATABASE",
    applies=_applies,
)
