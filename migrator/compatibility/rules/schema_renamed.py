"""A schema is renamed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("renamed", "schema")


RULE = Rule(
    id="schema-renamed",
    level="breaks",
    title="A schema is renamed",
    why="The previous version looks for its tables under the old name.",
    instead=(
        "Create the new schema beside the old one, with views of the same names in one of the "
        "two; drop the old one when no version uses it."
    ),
    source="PostgreSQL manual, ALTER SCHEMA",
    applies=_applies,
)
