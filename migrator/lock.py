"""One runner at a time.

A session-level advisory lock, taken by polling: a session that *waits* for a lock is in a transaction, and a CREATE
INDEX CONCURRENTLY of the runner that holds it would wait for that transaction to end: a deadlock. The connection that
holds the lock holds no transaction either, for the same reason.

Behind PgBouncer in transaction mode a session-level lock would stay with whatever server process took it and never be
released. There the lock is held by an open transaction instead, which has neither snapshot nor row locks: it uses
only statements without parameters, since the extended protocol's portal keeps its snapshot until the next statement,
and a CREATE INDEX CONCURRENTLY would wait for that.

The lock saves work; it is not what makes a migration run once. That is the record, read again under a second lock, which
is held where the work is done and so holds even when this connection breaks midway: by the migrations' own transaction,
or, for a file without one, by the session that runs its statements. Behind PgBouncer in transaction mode such a file has
no session; there this connection is asked before each statement whether it still holds.
"""

from __future__ import annotations

import contextlib
import time
from types import TracebackType

import psycopg

from migrator.errors import Blocked, Blocker
from migrator.sessions import Log, connect, describe, pause
from migrator.settings import Settings

CLASS = 1_835_624_306  # "migr"; advisory locks are per database already
_SESSION, _TRANSACTION = 1, 2


class RunnerLock:
    """Holds the runners' lock on a connection of its own.

    Args:
        conninfo: connection string.
        settings: `runner_budget` bounds the wait.
        log: told when it has to wait, and for whom.
    """

    def __init__(self, conninfo: str, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self.connection = connect(conninfo, settings, log, name="migrator-lock")
        row = self.connection.execute("SELECT pg_backend_pid()").fetchone()
        # A pooler answers with a process number of its own making.
        self.pooled = row is None or row[0] != self.connection.info.backend_pid

    def __enter__(self) -> RunnerLock:
        try:
            self._acquire()
        except BaseException:
            self.connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(psycopg.Error):
            if self.pooled:
                self.connection.execute("ROLLBACK")
            else:
                self.connection.execute(f"SELECT pg_advisory_unlock({CLASS}, {_SESSION})".encode())
        self.connection.close()

    def check(self) -> None:
        """Asks the connection whether it, and with it the lock, is still there.

        Raises:
            psycopg.OperationalError: it is not.
        """
        self.connection.execute("SELECT")

    def _acquire(self) -> None:
        started = time.monotonic()
        attempt = 0
        while not self._try():
            waited = time.monotonic() - started
            others = holders(self.connection)
            if waited >= self._settings.runner_budget:
                raise Blocked(
                    f"another runner has been at work for {waited:.0f} s: {name_all(others)}",
                    hint="Wait for it, or end it with pg_terminate_backend(pid) if it is not meant to run.",
                    blockers=others,
                )
            if attempt % 10 == 0:
                self._log(f"another runner is at work, waiting ({waited:.0f} s): {name_all(others)}")
            time.sleep(min(pause(attempt), 0.5))
            attempt += 1

    def _try(self) -> bool:
        if not self.pooled:
            return _true(self.connection, f"SELECT pg_try_advisory_lock({CLASS}, {_SESSION})")
        # While a long statement runs elsewhere, nothing happens in this transaction.
        self.connection.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
        if _true(self.connection, f"SELECT pg_try_advisory_xact_lock({CLASS}, {_SESSION})"):
            return True
        self.connection.execute("ROLLBACK")
        return False


def lock_transaction(connection: psycopg.Connection) -> bool:
    """Tries to take the lock that the migrations' own transaction holds until it ends."""
    return _true(connection, f"SELECT pg_try_advisory_xact_lock({CLASS}, {_TRANSACTION})")


def lock_session(connection: psycopg.Connection) -> bool:
    """Tries to take the same lock for a session, until its end or `cleanup.clean`."""
    return _true(connection, f"SELECT pg_try_advisory_lock({CLASS}, {_TRANSACTION})")


def holders(connection: psycopg.Connection) -> tuple[Blocker, ...]:
    """Names the sessions that hold either lock in this database."""
    rows = connection.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objsubid = 2 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()",
        (CLASS,),
    ).fetchall()
    return describe(connection, [row[0] for row in rows])


def name_all(blockers: tuple[Blocker, ...]) -> str:
    """Gives the blockers in one line, or says that there is none to see."""
    return "; ".join(map(str, blockers)) or "nobody to be seen any more"


def _true(connection: psycopg.Connection, query: str) -> bool:
    row = connection.execute(query.encode()).fetchone()
    return bool(row and row[0])
