"""An event trigger is added, dropped or changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object == "event trigger"


RULE = Rule(
    id="event-trigger-changed",
    level="risky",
    title="An event trigger is added, dropped or changed",
    why=("DDL of the previous version, such as temporary tables, does more, less or something else than before."),
    instead="Let it leave temporary objects alone.",
    source="PostgreSQL manual, CREATE EVENT TRIGGER",
    applies=_applies,
)
