"""Arguments get other names or defaults."""

from __future__ import annotations

from migrator.compatibility.questions import ROUTINES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.object in ROUTINES and case.attribute in ("arguments", "required arguments")


RULE = Rule(
    id="routine-arguments-renamed",
    level="risky",
    title="Arguments get other names or defaults",
    why=("Calls by name (f(account => 1)) fail with 42883; calls that leave an argument out get another default."),
    instead="Leave the names; create a new function for new ones.",
    source="PostgreSQL manual, 4.3 Calling Functions",
    applies=_applies,
)
