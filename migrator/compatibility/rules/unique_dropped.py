"""A unique constraint or unique index is dropped, or its columns are others."""

from __future__ import annotations

from migrator.compatibility.questions import is_constraint, unique_as_before, unique_still
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    unique = case.old is not None and case.old.attributes.get("unique") is True
    return (
        is_constraint(case, "removed", "unique")
        or (case.is_("removed", "index") and unique)
        or (case.is_("changed", "index", attribute="definition") and unique and not unique_as_before(case))
    ) and not unique_still(case)


RULE = Rule(
    id="unique-dropped",
    level="breaks",
    title="A unique constraint or unique index is dropped, or its columns are others",
    why=("ON CONFLICT on its columns fails with 42P10, and nothing keeps the previous version's duplicates out."),
    instead="Deploy a version without ON CONFLICT on it; drop it with the version after that one.",
    source="PostgreSQL manual, INSERT, ON CONFLICT",
    contraction=True,
    applies=_applies,
)
