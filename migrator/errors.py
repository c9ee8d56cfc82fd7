"""What can go wrong in a migration.

    MigratorError
    ├── InvalidMigration        the files cannot be run as they are; nothing was tried
    ├── HistoryMismatch         the files and the database's record contradict each other; nothing was tried
    ├── DatabaseUnavailable     no connection: address, credentials, TLS, or it stayed away too long
    ├── StatementFailed         the server refused a statement; the transaction was rolled back
    ├── Refused                 (`rehearsal`) the version that serves would not survive the migration
    ├── Unanswered              (`rehearsal`) the version that serves does not answer on the copy of its own schema
    ├── Blocked                 other sessions held a lock for the whole budget; rolled back
    ├── DatabaseCommandFailed   CREATE DATABASE or DROP DATABASE was refused
    │   └── ForeignDatabase     a database has the mark of another stack or module; it was left alone
    ├── BackupUnusable          what was written as a backup cannot be read back, or is not what was written
    ├── StoreFailed             the place where backups are kept cannot be read or written
    ├── BrokerUnavailable       the message broker does not answer
    └── BrokerCommandFailed     it refused to make a stream or a consumer

    Terminated                  (a KeyboardInterrupt) SIGTERM or SIGINT arrived; rolled back unless it is committed, which the log tells

Each carries what happened and, in `hint`, what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Blocker:
    """A session that holds what the migration waited for.

    Attributes:
        pid: its process in the server.
        user: its role.
        application: its application_name.
        state: as in pg_stat_activity, such as `idle in transaction`.
        query: its current or last query, shortened.
        since: start of its transaction, ISO 8601.
        seconds: age of its transaction in seconds.
        gid: of a prepared transaction, which holds its locks without a session; its `pid` is 0.
    """

    pid: int
    user: str
    application: str
    state: str
    query: str
    since: str
    seconds: float
    gid: str = ""

    def __str__(self) -> str:
        if self.gid:
            return f"prepared transaction {self.gid!r} ({self.user or '?'}), since {self.since} ({self.seconds:.0f} s)"
        return (
            f"PID {self.pid} ({self.user or '?'}, {self.application or 'no application_name'}), {self.state or '?'}, "
            f"in transaction since {self.since or '?'} ({self.seconds:.0f} s): {self.query or '(no query)'}"
        )


class MigratorError(Exception):
    """A migration, or a command around it, did not happen.

    Args:
        message: what happened.
        hint: what to do next.
        file: name of the file concerned.
        line: line of that file, counted from 1.
        statement: the statement, shortened.
        sqlstate: the server's error code.
        blockers: sessions that stood in the way.

    Attributes:
        more: further last words.
    """

    outcome: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        file: str = "",
        line: int | None = None,
        statement: str = "",
        sqlstate: str = "",
        blockers: tuple[Blocker, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.file = file
        self.line = line
        self.statement = statement
        self.sqlstate = sqlstate
        self.blockers = blockers
        self.more: dict[str, object] = {}


class InvalidMigration(MigratorError):
    """A file's name or text is not one the runner can run."""

    outcome = "invalid"
    exit_code = 2


class HistoryMismatch(MigratorError):
    """What the database has applied is not what these files say."""

    outcome = "mismatch"
    exit_code = 2


class DatabaseUnavailable(MigratorError):
    """The database could not be reached or would not let us in."""

    outcome = "unavailable"


class StatementFailed(MigratorError):
    """The server refused a statement."""


class Blocked(MigratorError):
    """A lock was not free within the budget."""

    outcome = "blocked"


class DatabaseCommandFailed(MigratorError):
    """The server refused to create or drop a database."""


class ForeignDatabase(DatabaseCommandFailed):
    """A database belongs to another, or nothing says to whom."""


class BackupUnusable(MigratorError):
    """A backup cannot be read back, or is not what was written."""


class StoreFailed(MigratorError):
    """The place where backups are kept cannot be read or written."""


class BrokerUnavailable(MigratorError):
    """The message broker could not be reached, or would not let us in."""

    outcome = "unavailable"


class BrokerCommandFailed(MigratorError):
    """The message broker refused to make a stream or a consumer."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGINT arrived.

    A KeyboardInterrupt, because that is what psycopg answers by cancelling the running statement on the server.

    Args:
        signal_name: such as SIGTERM.

    Attributes:
        words: last words of what was going on, over the general ones.
    """

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name
        self.words: dict[str, object] = {}
