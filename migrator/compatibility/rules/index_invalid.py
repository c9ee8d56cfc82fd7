"""An index is left invalid."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.object == "index"
        and case.kind in ("added", "changed")
        and case.attribute in ("", "valid")
        and case.given("valid") is False
    )


RULE = Rule(
    id="index-invalid",
    level="risky",
    title="An index is left invalid",
    why=(
        "An interrupted CREATE INDEX CONCURRENTLY left it: no query uses it, every write keeps it "
        "up, and a unique one refuses duplicates all the same."
    ),
    instead="DROP INDEX CONCURRENTLY, and build it again.",
    source="PostgreSQL manual, CREATE INDEX, Building Indexes Concurrently",
    applies=_applies,
)
