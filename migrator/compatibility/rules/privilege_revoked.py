"""A privilege is revoked."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.attribute == "grants"
        and case.object != "default privileges"
        and (
            any(
                not each.endswith("revoked from its owner") and f"{each} with grant option" not in case.come
                for each in case.gone
            )
            or any(each.endswith("revoked from its owner") for each in case.come)
        )
    )


RULE = Rule(
    id="privilege-revoked",
    level="breaks",
    title="A privilege is revoked",
    why="Statements of the previous version that need it fail with 42501.",
    instead=(
        "Deploy a version that connects as another role or does without; revoke it with the version after that one."
    ),
    source="PostgreSQL manual, REVOKE",
    contraction=True,
    applies=_applies,
)
