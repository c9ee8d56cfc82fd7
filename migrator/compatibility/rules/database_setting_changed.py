"""A setting of the database is changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.kind == "changed" and case.object == "database" and case.attribute in ("settings", "connection limit")


RULE = Rule(
    id="database-setting-changed",
    level="risky",
    title="A setting or the connection limit of the database is changed",
    why=(
        "New sessions of the previous version start with it: another search path, time zone or timeout; with a lower limit "
        "they are refused (53300)."
    ),
    instead="Set it in the new version's connections; leave room for both versions' at once.",
    source="PostgreSQL manual, ALTER DATABASE",
    applies=_applies,
)
