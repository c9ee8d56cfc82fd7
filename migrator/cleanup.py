"""Ends what a file has set or made in its session, so that the next one finds the session as a new one would be.

Not DISCARD ALL: that cannot run in a transaction, and deallocates what a pooler has prepared for others. What PostgreSQL
has no command for stays: a setting of one's own (`my.setting`) that was set once reads as empty instead of NULL, and so does
what an extension keeps in the session's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

# RESET ALL leaves the first two.
COMMANDS = (
    "CLOSE ALL",
    "RESET SESSION AUTHORIZATION",
    "RESET ROLE",
    "RESET ALL",
    "SET client_encoding = 'UTF8'",  # behind a pooler RESET gives the encoding of the client it was opened for
    "UNLISTEN *",
    "DISCARD TEMP",
    "DISCARD PLANS",
    "DISCARD SEQUENCES",
    "SELECT pg_catalog.pg_advisory_unlock_all()",
)
_PREPARED = "SELECT name FROM pg_catalog.pg_prepared_statements WHERE from_sql"
# Tables that this transaction has written are locked by it. A name may stand for several constraints of a schema, and only
# if all of them are deferrable can they be deferred again.
_DEFERRABLE = """
SELECT n.nspname, c.conname, bool_or(c.condeferred) FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
WHERE has_schema_privilege(n.oid, 'USAGE') AND (n.nspname, c.conname) IN (
    SELECT m.nspname, d.conname FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_constraint d ON d.oid = t.tgconstraint
    JOIN pg_catalog.pg_namespace m ON m.oid = d.connamespace
    WHERE t.tgdeferrable AND NOT pg_is_other_temp_schema(m.oid)
    AND (%s OR t.tgrelid IN (SELECT relation FROM pg_catalog.pg_locks WHERE pid = pg_backend_pid() AND relation IS NOT NULL)))
GROUP BY 1, 2 HAVING bool_and(c.condeferrable) OR NOT bool_or(c.condeferred) ORDER BY 1, 2
"""


def check_deferred(connection: psycopg.Connection, *, sets_constraints: bool, sets_all: bool) -> None:
    """Checks the constraints that were deferred to the end of the transaction, and then defers them again.

    In a transaction of its own the file would end with COMMIT. What it has left to be checked until then is in the way of
    the next one's ALTER TABLE (55006), and its failure would be told of the wrong file.

    Args:
        connection: in the transaction.
        sets_constraints: whether the file may have used SET CONSTRAINTS, on tables that it has not touched too.
        sets_all: whether on ALL, which holds for constraints to come as well.

    Raises:
        psycopg.Error: a constraint is violated, or a lock was not to be had.
    """
    rows = connection.execute(_DEFERRABLE, (sets_constraints,)).fetchall()
    names = [(sql.Identifier(schema, name), deferred) for schema, name, deferred in rows]
    _set_constraints(connection, [name for name, _ in names], "IMMEDIATE")
    if (
        sets_all
    ):  # as good as unset: it holds for constraints that a later file makes, and those are rarely INITIALLY IMMEDIATE
        _set_constraints(connection, [sql.SQL("ALL")], "DEFERRED")
        _set_constraints(connection, [name for name, deferred in names if not deferred], "IMMEDIATE")
    _set_constraints(connection, [name for name, deferred in names if deferred], "DEFERRED")


def _set_constraints(connection: psycopg.Connection, names: Sequence[sql.Composable], mode: LiteralString) -> None:
    if names:
        connection.execute(sql.SQL("SET CONSTRAINTS {} {}").format(sql.SQL(", ").join(names), sql.SQL(mode)))


def clean(connection: psycopg.Connection) -> None:
    """Makes the session as a new one would be, in a transaction or outside of one.

    Args:
        connection: whose transaction, if there is one, must not have failed.
    """
    connection.execute("; ".join(COMMANDS).encode())
    for (name,) in connection.execute(_PREPARED).fetchall():
        connection.execute(sql.SQL("DEALLOCATE {}").format(sql.Identifier(name)))
