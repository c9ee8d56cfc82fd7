"""An index is dropped."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("removed", "index")


RULE = Rule(
    id="index-dropped",
    level="risky",
    title="An index is dropped",
    why="The previous version's queries that used it read the whole table.",
    instead="Drop it (CONCURRENTLY) when pg_stat_user_indexes shows that nothing uses it.",
    source="squawk require-concurrent-index-deletion; PostgreSQL manual, DROP INDEX",
    contraction=True,
    applies=_applies,
)
