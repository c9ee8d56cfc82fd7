"""A permissive policy goes, or a restrictive one comes."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (case.is_("removed", "policy") and case.given("permissive") is True) or (
        case.is_("added", "policy") and case.given("permissive") is False
    )


RULE = Rule(
    id="policy-narrowed",
    level="breaks",
    title="A permissive policy goes, or a restrictive one comes",
    why="Rows that the previous version may see and write now are hidden from it or refused with 42501.",
    instead="Add the new policies first; drop the old one when every version that serves works under them.",
    source="PostgreSQL manual, CREATE POLICY",
    contraction=True,
    applies=_applies,
)
