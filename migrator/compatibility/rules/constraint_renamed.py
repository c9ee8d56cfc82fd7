"""A constraint or a unique index is renamed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("renamed", "constraint") or (case.is_("renamed", "index") and case.given("unique") is True)


RULE = Rule(
    id="constraint-renamed",
    level="risky",
    title="A constraint or a unique index is renamed",
    why=(
        "ON CONFLICT ON CONSTRAINT names it (42704), and so does a program that reads the "
        "constraint's name from errors."
    ),
    instead="Leave its name.",
    source="PostgreSQL manual, INSERT, ON CONFLICT",
    applies=_applies,
)
