"""A view's query is changed."""

from __future__ import annotations

from migrator.compatibility.questions import VIEWS
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.kind == "changed" and case.object in VIEWS and case.attribute in ("definition", "options")


RULE = Rule(
    id="view-changed",
    level="risky",
    title="A view's query is changed",
    why=(
        "The previous version reads other rows or values under the same names, and an updatable "
        "view may stop being one."
    ),
    instead="Give the new query a view of its own, and drop the old one later.",
    source="PostgreSQL manual, CREATE VIEW",
    applies=_applies,
)
