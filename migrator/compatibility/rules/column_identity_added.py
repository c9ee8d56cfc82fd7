"""A column without default becomes an identity column that takes values, or an identity column takes them now."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.is_("changed", "column", attribute="identity")
        and case.now == "by default"
        and case.old is not None
        and (case.was == "always" or case.old.attributes.get("default") is None)
    )


RULE = Rule(
    id="column-identity-added",
    level="safe",
    title="A column without default becomes an identity column that takes values, or an identity column takes them now",
    why="INSERTs with the column go on working; those without it got no number before.",
    source="PostgreSQL manual, CREATE TABLE, GENERATED ... AS IDENTITY",
    applies=_applies,
)
