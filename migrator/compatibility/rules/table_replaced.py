"""A table gives way to a view of its name, or the other way round."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES, VIEWS
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", *TABLES, *VIEWS) and any(
        (kind, case.name) in case.after.by_key for kind in (*TABLES, *VIEWS)
    )


RULE = Rule(
    id="table-replaced",
    level="risky",
    title="A table gives way to a view of its name, or the other way round",
    why=(
        "Reading goes on. Writing works only if the view is simple enough or has INSTEAD OF "
        "triggers; INSERT ... ON CONFLICT, COPY, TRUNCATE and foreign keys do not work on a view."
    ),
    instead="Run the previous version's statements against it in the rehearsal before trusting it.",
    source="PostgreSQL manual, CREATE VIEW, Updatable Views",
    applies=_applies,
)
