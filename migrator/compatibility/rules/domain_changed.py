"""A domain takes more values, has another default, or a constraint NOT VALID."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.kind == "changed"
        and case.object == "domain"
        and case.attribute in ("checks", "nullable", "type", "default")
    )


RULE = Rule(
    id="domain-changed",
    level="risky",
    title="A domain takes more values, has another default, or a constraint NOT VALID",
    why=(
        "The previous version may read values it does not expect; new values are held to a "
        "constraint that is NOT VALID."
    ),
    instead="Write such values only when the previous version is gone.",
    source="PostgreSQL manual, ALTER DOMAIN",
    applies=_applies,
)
