"""An object gets another owner."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.attribute == "owner"


RULE = Rule(
    id="owner-changed",
    level="breaks",
    title="An object gets another owner",
    why=(
        "A previous version that connects as the former owner loses every right it did not get by "
        "GRANT, and whatever only owners may do."
    ),
    instead=(
        "GRANT the new role what it needs, or make it a member of the owner; change the owner "
        "when no version connects as the old one."
    ),
    source="PostgreSQL manual, 5.7 Privileges",
    contraction=True,
    applies=_applies,
)
