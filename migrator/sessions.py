"""Connections to the server: opening them, telling a passing trouble from a lasting one, and who stands in the way."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator.errors import Blocker, DatabaseUnavailable
from migrator.settings import Settings
from migrator.statements import without_strings

Log = Callable[[str], None]

_TRANSIENT = {"55P03", "40P01", "40001", "57P01"}
# At connect time libpq gives the server's text without its SQLSTATE. What is listed here does not pass by waiting;
# anything else (refused, timeout, DNS, "starting up", "too many clients") may.
_LASTING = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry|authentication failed"
    r"|role \".*\" does not exist|database \".*\" does not exist|permission denied for database"
    r"|does not support SSL|certificate verify failed|root certificate file|not permitted to log in"
    r"|server certificate|invalid (?:sslmode|port|connection|integer|channel)|unsupported frontend protocol",
    re.IGNORECASE,
)
_HINTS = (
    (r"password|authentication failed|role \"", "Check user and password in the credentials' Secret."),
    (r"pg_hba", "The server's pg_hba.conf admits no such user, address or TLS mode."),
    (r"database \".*\" does not exist", "Create it first: `create-database`."),
    (r"SSL|certificate", "Check sslmode and sslrootcert."),
    (
        r"resolve host|name or service not known|name resolution",
        "Check the host name; DNS did not know it.",
    ),
    (r"", "Check host and port, and that the server is up and admits connections from here."),
)


def is_transient(error: psycopg.Error) -> bool:
    """Whether the same transaction may succeed when tried again.

    Lock timeout (55P03), deadlock (40P01), serialization failure (40001), administrator shutdown (57P01) and lost
    connections (class 08, or a broken connection, for which libpq gives no code). Nothing else: a migration that
    failed for a reason of its own fails again.
    """
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate in _TRANSIENT or error.sqlstate.startswith("08")


def is_lost(error: psycopg.Error) -> bool:
    """Whether it is the connection or the server that has gone, and not the statement that was refused."""
    return not error.sqlstate or error.sqlstate.startswith(("08", "57"))


def refusal(connection: psycopg.Connection, statement: bytes | sql.Composed) -> str:
    """Runs a statement; gives why the server refused it, empty if it did not.

    Raises:
        psycopg.Error: the connection is lost.
    """
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return str(error.diag.message_primary)
    return ""


def pause(attempt: int) -> float:
    """Gives the seconds to wait before the next attempt: doubling up to 5, at least half of it left to chance."""
    return min(5.0, 0.2 * 2.0**attempt) * random.uniform(0.5, 1.0)


def conninfo(text: str, **overrides: str) -> str:
    """Parses a connection string and puts other values into it.

    Args:
        text: URI or keywords, as libpq takes them.
        overrides: such as dbname.

    Raises:
        DatabaseUnavailable: it cannot be parsed. Its text is withheld: libpq's complaint may quote the password.
    """
    try:
        parsed = make_conninfo(text, **overrides)
        parts = conninfo_to_dict(parsed)
        # An unencoded / or @ in a password makes the rest of it a port, a host or a database, which errors would show.
        visible = f"{parts.get('host', '')}{parts.get('dbname', '')}"
        readable = "@" not in visible and re.fullmatch(r"[\d,]*", str(parts.get("port", ""))) is not None
    except psycopg.Error:
        readable = False
    if not readable:
        raise DatabaseUnavailable(
            "the connection string cannot be parsed (not shown, it may hold a password)",
            hint="Write postgresql://user:password@host:port/database, special characters percent-encoded.",
        )
    return parsed


def address(text: str) -> str:
    """Gives user, host, port and database of a connection string, without the password."""
    parts = conninfo_to_dict(conninfo(text))
    return f"{parts.get('user', '')}@{parts.get('host', 'local')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def connect(text: str, settings: Settings, log: Log, *, name: str = "migrator") -> psycopg.Connection:
    """Opens a connection, in autocommit mode; tries again while the trouble looks like it passes.

    Args:
        text: connection string.
        settings: budgets.
        log: told about each failed attempt.
        name: application_name, by which others find the session in pg_stat_activity.

    Raises:
        DatabaseUnavailable: not within the budget, or for a reason that will not pass.
    """
    wanted = conninfo(
        text,
        application_name=f"{name} {settings.runner}"[:63],
        connect_timeout=str(max(settings.connect_timeout, 2)),  # libpq takes 1 for 2
        # Files are sent as they are, in UTF-8. Left to itself the server takes them for what its database is encoded in.
        client_encoding="UTF8",
        keepalives_idle="10",
        keepalives_interval="5",
        keepalives_count="3",
        tcp_user_timeout="30000",
    )
    started = time.monotonic()
    attempt = 0
    while True:
        try:
            # Nothing is prepared: behind PgBouncer the next statement may reach another server process.
            return psycopg.connect(wanted, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            reason = without_password(" ".join(str(error).split()), wanted)
            wait = pause(attempt)
            hint = next(hint for pattern, hint in _HINTS if re.search(pattern, reason, re.IGNORECASE))
            waited = time.monotonic() - started
            if _LASTING.search(reason):
                raise DatabaseUnavailable(
                    f"cannot connect to {address(text)}: {reason}", hint=hint, sqlstate=error.sqlstate or ""
                ) from None
            if waited + wait > settings.connect_budget:
                raise DatabaseUnavailable(
                    f"cannot connect to {address(text)} in {waited:.0f} s, {attempt + 1} attempts: {reason}",
                    hint=hint,
                    sqlstate=error.sqlstate or "08001",
                ) from None
            log(f"cannot connect to {address(text)}: {reason}; trying again in {wait:.1f} s")
        time.sleep(wait)
        attempt += 1


# Settings that a database or a role may have, and that would refuse or end what has to go through whatever they are.
UNHINDERED = """
SELECT pg_catalog.set_config(s.name, v.value, {}) FROM pg_catalog.pg_settings s JOIN (VALUES
    ('default_transaction_read_only', 'off'), ('statement_timeout', '0'), ('transaction_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0')) v (name, value) USING (name)
WHERE s.setting <> v.value
"""


def unhindered(connection: psycopg.Connection) -> psycopg.Connection:
    """Frees a session from settings of the database and the role that would refuse what it writes, or end it.

    Inside of a transaction it is for that transaction. What has no such setting is left as it is: behind a pooler others
    have the session next.
    """
    inside = connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
    connection.execute(UNHINDERED.format("true" if inside else "false").encode())
    return connection


class _OneStatement(psycopg.Cursor[Any]):
    """Sends by the extended protocol, parameters or none, as psycopg itself does for what it streams."""

    def _execute_send(self, *arguments: Any, **options: Any) -> None:
        super()._execute_send(*arguments, **{**options, "force_extended": True})


def execute_one(connection: psycopg.Connection, statement: str) -> None:
    """Runs one statement, and refuses (42601) what the server takes for several.

    The simple protocol, which psycopg uses for a query without parameters, runs several, a COMMIT among them. Nothing is
    left prepared and nothing is filled in: `%` and `$1` reach the server as they are.

    Args:
        connection: on which to run it.
        statement: its text.
    """
    with _OneStatement(connection) as cursor:
        cursor.execute(statement.encode())


def without_password(text: str, connection: str) -> str:
    """Gives a text with the connection's password blotted out, should it hold it."""
    password = conninfo_to_dict(connection).get("password")
    return text.replace(str(password), "***") if password else text


_BLOCKERS = """
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(a.state, ''),
       coalesce(a.query, ''),
       coalesce(to_char(coalesce(a.xact_start, a.backend_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), ''),
       coalesce(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start)), 0)::float8
FROM pg_stat_activity a WHERE a.pid = ANY(ARRAY[{pids}]::int[]) ORDER BY a.xact_start
"""


def describe(connection: psycopg.Connection, pids: list[int]) -> tuple[Blocker, ...]:
    """Looks up the sessions of the given processes; those that have ended since are left out."""
    query = _BLOCKERS.replace("{pids}", ",".join(str(int(pid)) for pid in pids))
    found = (Blocker(*row) for row in connection.execute(query.encode()).fetchall())
    return tuple(replace(each, query=" ".join(without_strings(each.query).split())[:200]) for each in found)


# A prepared transaction has no process: pg_blocking_pids has 0 for it, and pg_locks none.
_PREPARED = """
SELECT DISTINCT 0, p.owner, '', 'prepared transaction', '', to_char(p.prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       extract(epoch FROM clock_timestamp() - p.prepared)::float8, p.gid
FROM pg_locks w JOIN pg_locks h ON h.granted AND h.pid IS NULL AND h.locktype = w.locktype
     AND (h.database, h.relation, h.page, h.tuple, h.virtualxid, h.transactionid, h.classid, h.objid, h.objsubid)
         IS NOT DISTINCT FROM (w.database, w.relation, w.page, w.tuple, w.virtualxid, w.transactionid, w.classid, w.objid, w.objsubid)
JOIN pg_locks x ON x.locktype = 'transactionid' AND x.pid IS NULL AND x.virtualtransaction = h.virtualtransaction
JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE w.pid = {pid} AND NOT w.granted
"""


def blockers(connection: psycopg.Connection, pid: int) -> tuple[Blocker, ...]:
    """Names what the session of a process waits for at this moment: other sessions, or prepared transactions."""
    row = connection.execute(f"SELECT pg_blocking_pids({int(pid)})".encode()).fetchone()
    pids = list(row[0]) if row else []
    found = describe(connection, [each for each in pids if each]) if pids else ()
    if 0 in pids:
        prepared = connection.execute(_PREPARED.replace("{pid}", str(int(pid))).encode()).fetchall()
        found += tuple(Blocker(*each) for each in prepared)
    return found


class Watcher:
    """Notes, while a session waits for a lock, who holds it.

    When the server reports a lock timeout the wait is over and its cause no longer visible, so it must be looked at
    from a second connection while it lasts. psycopg's connections may be used from several threads.

    Args:
        connection: the second connection, in autocommit mode.
        pid: the watched session's process.
        interval: seconds between two looks; the first comes after one of them.

    Attributes:
        seen: the sessions that were last seen to block it.
        waited: seconds for which it was seen to wait.
    """

    def __init__(self, connection: psycopg.Connection, pid: int, interval: float) -> None:
        self._connection = connection
        self._pid = pid
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.seen: tuple[Blocker, ...] = ()
        self.waited = 0.0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(timeout=2)

    def _watch(self) -> None:
        # A broken watching connection costs the names of the blockers, not the migration.
        with contextlib.suppress(psycopg.Error):
            looked = time.monotonic()
            while not self._done.wait(self._interval):
                before, looked = looked, time.monotonic()
                found = blockers(self._connection, self._pid)
                if found:
                    self.waited += looked - before
                    self.seen = found
