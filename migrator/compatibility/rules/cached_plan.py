"""SELECT * of a table or view gives other columns, or a column of another type."""

from __future__ import annotations

from migrator.compatibility.questions import ROW
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.attribute == ROW


RULE = Rule(
    id="cached-plan",
    level="risky",
    title="SELECT * of a table or view gives other columns, or a column of another type",
    why=(
        "What the previous version has prepared before the migration, SELECT * or a column whose type changed, fails with "
        "0A000 (cached plan must not change result type) until it is prepared anew; INSERT ... SELECT * and UNION of "
        "SELECT * may fail too."
    ),
    instead=(
        "Deploy a version that names its columns instead of *. Or let its driver prepare nothing (JDBC prepareThreshold=0, "
        "pgx default_query_exec_mode=exec, asyncpg statement_cache_size=0), or repeat after 0A000 outside of the transaction."
    ),
    source="PostgreSQL manual, PREPARE; RevalidateCachedQuery in the server's plancache.c",
    applies=_applies,
)
