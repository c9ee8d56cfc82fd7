"""A rewrite rule is added, dropped or changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object == "rule"


RULE = Rule(
    id="rule-changed",
    level="risky",
    title="A rewrite rule is added, dropped or changed",
    why="The previous version's statements are rewritten into other ones.",
    instead="Use a trigger, which sees rows and not statements.",
    source="PostgreSQL manual, CREATE RULE",
    applies=_applies,
)
