"""The columns of a table or view change their order."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES, VIEWS
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", *TABLES, *VIEWS, attribute="columns")


RULE = Rule(
    id="columns-reordered",
    level="risky",
    title="The columns of a table or view change their order",
    why=(
        "INSERT without a list of columns, SELECT * read by position, and COPY without a list put "
        "values into wrong columns."
    ),
    instead="Leave the order; name columns in statements.",
    source="PostgreSQL manual, INSERT",
    applies=_applies,
)
