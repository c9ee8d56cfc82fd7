"""An enum's value is renamed."""

from __future__ import annotations

from migrator.compatibility.questions import replaced_in_place
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "enum", attribute="labels") and replaced_in_place(case)


RULE = Rule(
    id="enum-value-renamed",
    level="breaks",
    title="An enum's value is renamed",
    why=(
        "The previous version's statements that write or compare the old value fail with 22P02, "
        "and it reads one that it does not know."
    ),
    instead="Add the new value, write it when every version knows both, and update old rows in batches.",
    source="PostgreSQL manual, ALTER TYPE",
    applies=_applies,
)
