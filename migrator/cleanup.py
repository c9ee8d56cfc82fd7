"""Ends what a file has set or made in its session, so that the next one finds the session as a new one would be.

Not DISCARD ALL: that cannot run in a transaction, and deallocates what a pooler has prepared for others. What PostgreSQL
has no command for stays: a setting of one's own (`my.setting`) that was set once reads as empty instead of NULL, and so does
what an extension keeps in the session's memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
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
SELECT n.nspname, c.conname, bool_or(c.condeferred), bool_or(c.condeferrable AND NOT c.condeferred), bool_and(c.condeferrable)
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
WHERE has_schema_privilege(n.oid, 'USAGE') AND (n.nspname, c.conname) IN (
    SELECT m.nspname, d.conname FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_constraint d ON d.oid = t.tgconstraint
    JOIN pg_catalog.pg_namespace m ON m.oid = d.connamespace
    WHERE t.tgdeferrable AND NOT pg_is_other_temp_schema(m.oid)
    AND (%s OR t.tgrelid IN (SELECT relation FROM pg_catalog.pg_locks WHERE pid = pg_backend_pid() AND relation IS NOT NULL)))
GROUP BY 1, 2 ORDER BY 1, 2
"""
# What a session gets when it is opened, of this database and the role that opens it; the nearest of four places has it.
# https://www.postgresql.org/docs/current/config-setting.html; what the client itself asks for comes before all of them.
_GIVEN = """
SELECT DISTINCT ON (1) lower(split_part(one, '=', 1)), substr(one, strpos(one, '=') + 1)
FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) one
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
  AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user))
  AND lower(split_part(one, '=', 1)) NOT IN (SELECT lower(name) FROM pg_catalog.pg_settings WHERE source = 'client')
ORDER BY 1, s.setrole = 0, s.setdatabase = 0
"""
# What a statement may leave to the ones after it; of values a digest. The runner sets the first of these itself, and a pooler the rest.
_LEFT = """
SELECT 'the setting ' || name, md5(setting) FROM pg_catalog.pg_settings WHERE source = 'session' AND NOT starts_with(name, 'transaction_') AND name NOT IN (
    'lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout', 'client_connection_check_interval',
    'application_name', 'client_encoding', 'standard_conforming_strings')
UNION ALL SELECT 'the role', current_user::text WHERE current_setting('role') <> 'none'
UNION ALL SELECT 'the user', session_user::text WHERE session_user <> (SELECT usename FROM pg_catalog.pg_stat_get_activity(pg_backend_pid()) a
    JOIN pg_catalog.pg_user u ON u.usesysid = a.usesysid)
UNION ALL SELECT 'the relation ' || relname, '' FROM pg_catalog.pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r', 'v', 'S')
UNION ALL SELECT 'the function ' || proname, '' FROM pg_catalog.pg_proc WHERE pronamespace = pg_my_temp_schema()
UNION ALL SELECT 'the statement ' || name, '' FROM pg_catalog.pg_prepared_statements WHERE from_sql
UNION ALL SELECT 'the cursor ' || name, '' FROM pg_catalog.pg_cursors WHERE is_holdable AND name <> ''
UNION ALL SELECT 'an advisory lock', string_agg(concat_ws(' ', classid, objid, objsubid), ', ' ORDER BY classid, objid)
    FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND classid <> %s HAVING count(*) > 0
"""


def check_deferred(connection: psycopg.Connection, *, sets_constraints: bool, sets_all: bool) -> bool:
    """Checks the constraints that were deferred to the end of the transaction, and then defers them again.

    In a transaction of its own the file would end with COMMIT. What it has left to be checked until then is in the way of
    the next one's ALTER TABLE (55006), and its failure would be told of the wrong file.

    Args:
        connection: in the transaction.
        sets_constraints: whether the file may have used SET CONSTRAINTS, on tables that it has not touched too.
        sets_all: whether on ALL, which holds for constraints to come as well.

    Returns:
        Whether it has been possible to defer them again; not where two tables have a constraint of one name, of which one is
        deferred and the other is not.

    Raises:
        psycopg.Error: a constraint is violated, or a lock was not to be had.
    """
    rows = connection.execute(_DEFERRABLE, (sets_constraints,)).fetchall()
    _set_constraints(connection, [sql.Identifier(schema, name) for schema, name, *_ in rows], "IMMEDIATE")
    # By a name that one which cannot be deferred has too, none is; and by ALL, so are those that were not.
    if sets_all or any(deferred and not all_deferrable for *_, deferred, _, all_deferrable in rows):
        # As good as unset: it holds for constraints that a later file makes, and those are rarely INITIALLY IMMEDIATE.
        _set_constraints(connection, [sql.SQL("ALL")], "DEFERRED")
        rows = connection.execute(_DEFERRABLE, (True,)).fetchall()
    for mode, is_so in (("IMMEDIATE", False), ("DEFERRED", True)):
        names = [
            sql.Identifier(schema, name)
            for schema, name, deferred, immediate, all_deferrable in rows
            if (deferred and all_deferrable if is_so else immediate and not deferred)
        ]
        _set_constraints(connection, names, mode)
    return not any(deferred and immediate for *_, deferred, immediate, _ in rows)


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


def given(connection: psycopg.Connection) -> dict[str, str]:
    """The settings that a session gets which is opened now, as this transaction sees it.

    Args:
        connection: after `clean`.
    """
    return {str(name): str(value) for name, value in connection.execute(_GIVEN).fetchall()}


def give(connection: psycopg.Connection, settings: Mapping[str, str]) -> None:
    """Sets to the end of the transaction what a session would get that is opened now.

    What can only be set as a session begins is left out, as is what the role may not set: an administrator gave it.
    """
    for name, value in settings.items():
        with contextlib.suppress(psycopg.Error), connection.transaction():
            connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", (name, value))


def left(connection: psycopg.Connection, lock: int) -> psycopg.Cursor[tuple[str, str]]:
    """Asks what there is in a session that a new one has not: of each what it is, and a digest.

    Args:
        connection: whose.
        lock: class of the advisory locks that are the runner's own.
    """
    return connection.execute(_LEFT, (lock,))
