"""NOT NULL is set on a column that has a default."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.is_("changed", "column", attribute="nullable")
        and case.now is False
        and case.old is not None
        and case.old.attributes.get("default") is not None
    )


RULE = Rule(
    id="column-not-null-with-default",
    level="risky",
    title="NOT NULL is set on a column that has a default",
    why=(
        "INSERTs of the previous version that leave the column out go on working; those that "
        "write NULL into it fail with 23502."
    ),
    instead=(
        "Make sure that no version writes NULL; add CHECK (column IS NOT NULL) NOT VALID, "
        "validate it, then set NOT NULL, which then needs no scan."
    ),
    source="squawk adding-not-nullable-field; PostgreSQL manual, ALTER TABLE, SET NOT NULL",
    contraction=True,
    applies=_applies,
)
