"""NOT NULL is dropped."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="nullable")


RULE = Rule(
    id="column-not-null-dropped",
    level="risky",
    title="NOT NULL is dropped",
    why="The previous version may read NULL where there never was one.",
    instead="Write NULL only once no version runs that does not expect it.",
    source="squawk ban-drop-not-null",
    applies=_applies,
)
