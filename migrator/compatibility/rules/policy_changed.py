"""A policy is changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object == "policy"


RULE = Rule(
    id="policy-changed",
    level="risky",
    title="A policy is changed",
    why="The previous version sees or may write other rows than before.",
    instead="Add a second policy (permissive ones add up), and drop the old one later.",
    source="PostgreSQL manual, CREATE POLICY",
    applies=_applies,
)
