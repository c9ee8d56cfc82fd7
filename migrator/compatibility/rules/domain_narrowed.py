"""A domain takes fewer values."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule
from migrator.compatibility.types import compare


def _applies(case: Case) -> bool:
    return case.object == "domain" and (
        (
            case.attribute == "checks"
            and any(not each.endswith("NOT VALID") and f"{each} NOT VALID" not in case.gone for each in case.come)
        )
        or (case.attribute == "nullable" and case.now is False)
        or (case.attribute == "type" and compare(str(case.was), str(case.now)) not in ("widened", "enlarged"))
    )


RULE = Rule(
    id="domain-narrowed",
    level="breaks",
    title="A domain takes fewer values",
    why=(
        "The previous version's values that do not satisfy it fail with 23514 or 23502, in every column of the domain."
    ),
    instead=(
        "Deploy a version whose values satisfy it; add the constraint NOT VALID; VALIDATE "
        "CONSTRAINT in a later transaction."
    ),
    source="squawk ban-alter-domain-with-add-constraint; PostgreSQL manual, ALTER DOMAIN",
    contraction=True,
    applies=_applies,
)
