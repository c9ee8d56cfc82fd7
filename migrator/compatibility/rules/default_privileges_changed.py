"""Privileges of objects yet to be created are changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object == "default privileges"


RULE = Rule(
    id="default-privileges-changed",
    level="risky",
    title="Privileges of objects yet to be created are changed",
    why=(
        "Tables and functions that the next migration creates are granted to other roles than the "
        "previous version expects."
    ),
    instead="GRANT on each object by name.",
    source="PostgreSQL manual, ALTER DEFAULT PRIVILEGES",
    applies=_applies,
)
