"""A domain's constraint is validated."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "domain", attribute="checks") and {f"{each} NOT VALID" for each in case.come} == set(
        case.gone
    )


RULE = Rule(
    id="domain-validated",
    level="safe",
    title="A domain's constraint is validated",
    why="New values were held to it before.",
    source="PostgreSQL manual, ALTER DOMAIN",
    applies=_applies,
)
