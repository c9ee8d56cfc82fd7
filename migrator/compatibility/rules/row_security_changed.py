"""Row security is switched on or off."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", *TABLES, attribute="row security")


RULE = Rule(
    id="row-security-changed",
    level="risky",
    title="Row security is switched on or off",
    why=("Switched on, roles other than the owner see only what policies allow; switched off, they see everything."),
    instead="Create the policies first, try them with a role of its own, and only then switch it on.",
    source="PostgreSQL manual, 5.8 Row Security Policies",
    applies=_applies,
)
