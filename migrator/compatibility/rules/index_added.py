"""An index is added."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("added", "index")


RULE = Rule(
    id="index-added",
    level="safe",
    title="An index is added",
    why=(
        "Queries may become faster, writes do a little more. CREATE INDEX CONCURRENTLY keeps writers going meanwhile."
    ),
    source="PostgreSQL manual, CREATE INDEX; squawk require-concurrent-index-creation",
    applies=_applies,
)
