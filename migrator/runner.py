"""Runs the pending migrations: all of them and their record in one transaction."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import psycopg

from migrator import files, record
from migrator.errors import (
    Blocked,
    Blocker,
    DatabaseUnavailable,
    InvalidMigration,
    MigratorError,
    StatementFailed,
    Terminated,
)
from migrator.files import Migration
from migrator.lock import RunnerLock, holders, lock_session, lock_transaction, name_all, unlock_session
from migrator.sessions import Log, Watcher, connect, execute_one, is_lost, is_transient, pause
from migrator.settings import Settings
from migrator.statements import Statement

_NOT_IN_A_TRANSACTION = "25001"
_NO_SUCH_SAVEPOINT = "3B001"
_PROTOCOL_VIOLATION = "08P01"
_SYNTAX_ERROR = "42601"
_OURSELVES = 'SET TRANSACTION READ WRITE; SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL "role" TO DEFAULT'
_LOOK = 0.05
_LOOK_BACK = 3.0  # seconds for a last look at how a COMMIT ended; a pod that is told to go has half a minute in all


@dataclass(frozen=True)
class Result:
    """What a run has done.

    Attributes:
        outcome: `migrated`, or `unchanged` when nothing was pending.
        applied: names of the files applied by this run, whether or not the answer to its COMMIT has arrived.
        before: highest migration number in the database before.
        after: the same afterwards.
        ahead: applied files unknown to this image: a newer version was here, which is no error.
        seconds: how long it took.
        attempts: how often it was tried.
    """

    outcome: str
    applied: tuple[str, ...]
    before: int
    after: int
    ahead: tuple[str, ...]
    seconds: float
    attempts: int = 1


def say(line: str) -> None:
    """Prints a line of the log to stderr, at once: the line before a kill is the one that matters."""
    print(f"migrate: {line}", file=sys.stderr, flush=True)


def plan(
    conninfo: str, directory: Path | str | Sequence[Path | str], settings: Settings, log: Log = say
) -> record.Plan:
    """Compares files and database without changing anything.

    Args:
        conninfo: connection string of the module's database.
        directory: directory, or directories, of the SQL files.
        settings: budgets for the connection.
        log: where lines for people go.

    Raises:
        MigratorError: see `run`.
    """
    migrations = files.read(directory)
    with connect(conninfo, settings, log) as connection:
        return record.plan(migrations, record.read(connection))


def run(
    conninfo: str,
    directory: Path | str | Sequence[Path | str],
    settings: Settings | None = None,
    log: Log = say,
) -> Result:
    """Brings a database to the state of the given files.

    Args:
        conninfo: connection string of the module's database.
        directory: directory, or directories, of the SQL files.
        settings: budgets; the defaults when left out.
        log: where lines for people go.

    Returns:
        What was done. When nothing is pending no lock is taken and nothing is written.

    Raises:
        InvalidMigration: the files cannot be run.
        HistoryMismatch: files and database contradict each other.
        DatabaseUnavailable: no connection.
        StatementFailed: the server refused a statement; the transaction was rolled back.
        Blocked: a lock was not to be had within the budget; rolled back.
        Terminated: a signal came (only if the caller's handler raises it); the log tells what is committed.
    """
    settings = settings or Settings()
    started = time.monotonic()
    migrations = files.read(directory)
    with contextlib.closing(connect(conninfo, settings, log)) as connection:
        todo = record.plan(migrations, _read(connection))
        if not todo.pending:
            return _unchanged(todo, started, log)
        _refuse_nameless_indexes(todo)
        log(f"{len(todo.pending)} pending: {', '.join(each.name for each in todo.pending)}")
    return _Run(conninfo, migrations, settings, log, started).go()


def _read(connection: psycopg.Connection) -> list[record.Applied]:
    try:
        return record.read(connection)
    except psycopg.Error as error:
        raise _refused(error, "reading the record", hint="The role needs to read migrator.migrations.") from None


def _refuse_nameless_indexes(todo: record.Plan) -> None:
    for migration in todo.pending:
        for statement in migration.statements[todo.resumed.get(migration.number, 0) :]:
            index = statement.concurrent_index()
            if index is not None and not index.name:
                raise _invalid(
                    migration,
                    statement,
                    "an index that is built CONCURRENTLY needs a name",
                    "Name it: if the build fails, it leaves an invalid index, which the next run finds by its name.",
                )


def _unchanged(todo: record.Plan, started: float, log: Log) -> Result:
    if todo.ahead:
        log(f"the database is ahead of this version: {', '.join(todo.ahead)} applied by a newer one; nothing to do")
    else:
        log(f"nothing pending, the database is at {todo.before}")
    return Result("unchanged", (), todo.before, todo.before, todo.ahead, time.monotonic() - started)


@dataclass(frozen=True)
class _Sent:
    """A COMMIT to which the server's answer has not come.

    Attributes:
        files: names of the files that are applied if it has happened.
        transaction: its number.
    """

    files: tuple[str, ...]
    transaction: str

    def __str__(self) -> str:
        return ", ".join(self.files)


class _Run:
    """One call of `run` that found something pending."""

    def __init__(
        self, conninfo: str, migrations: Sequence[Migration], settings: Settings, log: Log, started: float
    ) -> None:
        self._conninfo = conninfo
        self._migrations = migrations
        self._settings = settings
        self._log = log
        self._started = started
        self._applied: list[str] = []
        self._before: int | None = None
        self._blockers: tuple[Blocker, ...] = ()
        self._waited = 0.0  # for locks, in the transaction that is open
        self._rolled_back = "nothing had begun; the database is as it was"
        self._sent: _Sent | None = None

    def go(self) -> Result:
        attempt = 0
        wait = 0.0
        trouble_since: float | None = None
        while True:
            try:
                time.sleep(wait)
                with (
                    RunnerLock(self._conninfo, self._settings, self._log) as lock,
                    contextlib.closing(connect(self._conninfo, self._settings, self._log)) as connection,
                ):
                    return self._locked(connection, lock, attempt + 1)
            except (_Passing, psycopg.Error) as error:
                if isinstance(error, psycopg.Error):  # outside of any statement of ours: the lock, the record
                    if not is_transient(error):
                        raise _refused(error, "the runner's own statement") from None
                    error = _Passing(error, None, None)
                now = time.monotonic()
                trouble_since = now if trouble_since is None else trouble_since
                wait = pause(attempt)
                attempt += 1
                if now + wait - trouble_since > self._settings.retry_budget:
                    raise self._give_up(error, attempt, now - trouble_since) from None
                by = f"; blocked by {name_all(self._blockers)}" if self._blockers else ""
                self._log(f"{self._so_far()}: {error}{by}; trying again in {wait:.1f} s (attempt {attempt})")
            except StatementFailed:
                self._log(self._rolled_back)
                raise
            except MigratorError as error:
                if self._sent:
                    error.message = f"{error.message}; {self._so_far()}"
                raise
            except Terminated as signal:
                self._log(f"{signal.signal_name}: {self._ended()}")
                raise

    def _so_far(self) -> str:
        return f"whether {self._sent} is committed is not known" if self._sent else "rolled back"

    def _ended(self) -> str:
        """Says what a run that is ended now leaves; what the server was asked to commit it looks up for that."""
        if self._sent is None:
            return self._rolled_back
        patience = replace(self._settings, connect_budget=_LOOK_BACK, connect_timeout=2)
        status = ""
        with (
            contextlib.suppress(MigratorError, psycopg.Error),
            contextlib.closing(connect(self._conninfo, patience, self._log)) as connection,
        ):
            end = time.monotonic() + _LOOK_BACK
            while (status := _status(connection, self._sent.transaction)) == _OPEN and time.monotonic() < end:
                time.sleep(_LOOK)
        if status == _COMMITTED:
            return f"nothing to roll back; {', '.join([*self._applied, *self._sent.files])} is committed"
        if status == _ABORTED:
            return self._rolled_back
        return f"{self._so_far()}; the next run finds it in the record"

    def _answered(self, connection: psycopg.Connection) -> tuple[str, ...]:
        """Gives the files that this run has applied without an answer, provided that the record has them too."""
        if self._sent is None:
            return ()
        status = _status(connection, self._sent.transaction)
        if status == _OPEN:
            self._blockers = holders(connection)
            raise _Passing(None, None, None, text="the transaction of the connection that was lost is still open")
        found = self._sent.files if status == _COMMITTED else ()
        self._sent = None
        return found

    def _locked(self, connection: psycopg.Connection, lock: RunnerLock, attempt: int) -> Result:
        if lock.pooled:
            self._log("a connection pooler is in between: the runners' lock is held by a transaction")
        while True:
            answered = self._answered(connection)
            # Under the lock the record may say more than before it: another runner was first.
            todo = record.plan(self._migrations, _read_again(connection))
            if answered and not {each.name for each in todo.pending} & set(answered):
                self._log(f"the answer was lost, but {', '.join(answered)} is committed")
                self._applied += answered
            if self._before is None:
                self._before = todo.before
            if not todo.pending:
                break
            alike = next(groupby(todo.pending, key=lambda each: each.transactional))
            batch = list(alike[1])
            if alike[0]:
                self._together(connection, lock, batch, rest=len(todo.pending) - len(batch))
            else:
                self._alone(connection, lock, batch[0], todo.resumed.get(batch[0].number, 0))
        if not self._applied:
            self._log("another runner has applied everything meanwhile")
            return replace(_unchanged(todo, self._started, self._log), attempts=attempt)
        seconds = time.monotonic() - self._started
        self._log(f"done: {len(self._applied)} applied, the database is at {todo.before} ({seconds:.2f} s)")
        return Result("migrated", tuple(self._applied), self._before, todo.before, todo.ahead, seconds, attempt)

    def _together(self, connection: psycopg.Connection, lock: RunnerLock, batch: list[Migration], rest: int) -> None:
        """Runs files in one transaction, their record with them."""
        if rest:
            self._log(f"{len(batch)} files in one transaction; {rest} more follow outside of it")
        names = tuple(each.name for each in batch)
        self._rolled_back = f"rolled back {', '.join(names)}; the database is as it was"
        with self._around(None), self._committed(connection, names, "commit"):
            self._batch(connection, lock, batch)
        self._rolled_back = f"nothing to roll back; {', '.join(self._applied)} is committed"

    @contextlib.contextmanager
    def _committed(self, connection: psycopg.Connection, files: tuple[str, ...], line: str) -> Iterator[None]:
        """Opens a transaction by which files become applied, and remembers it while its COMMIT is without an answer."""
        try:
            with connection.transaction():
                yield
                row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
                assert row is not None
                self._log(line)
                self._sent = _Sent(files, str(row[0]))
        except Exception:
            if not connection.closed:  # the server has answered, and it did not commit
                self._sent = None
            raise
        self._applied += files
        self._sent = None

    def _batch(self, connection: psycopg.Connection, lock: RunnerLock, batch: list[Migration]) -> None:
        """Runs files and writes their record, in the transaction that is open."""
        self._reset(connection, local=True)
        if not lock_transaction(connection):
            # A runner that lost its lock's connection is still in its transaction; wait for its end.
            self._blockers = holders(connection)
            raise _Passing(None, None, None, text="another runner's transaction is still open")
        # Not connection.info.backend_pid: a pooler makes that one up.
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        pid = int(row[0]) if row else 0
        self._waited = 0.0
        record.create(connection)
        done = {each.number for each in record.read(connection)}
        if done & {each.number for each in batch}:
            raise _Passing(None, None, None, text="another runner was first")
        for migration in batch:
            began = time.monotonic()
            # Ends with the file, and those that the file made with it: no later one can roll back to them, past
            # the record of this one.
            connection.execute("SAVEPOINT migrator_file")
            for index in range(len(migration.statements)):
                self._wait_less(connection)
                self._execute(connection, lock, pid, migration, index)
            connection.execute("RELEASE SAVEPOINT migrator_file")
            self._reset(connection, local=True)
            who = (self._settings.module_version, self._settings.runner)
            record.write(connection, migration, len(migration.statements), time.monotonic() - began, who)

    def _alone(self, connection: psycopg.Connection, lock: RunnerLock, migration: Migration, done: int) -> None:
        """Runs a file's statements one by one, each committed by itself, noting how far it came."""
        total = len(migration.statements)
        how = f"resuming after statement {done}/{total}" if done else "a failure keeps the statements before it"
        self._log(f"{migration.name} is non-transactional: each statement is committed by itself; {how}")
        self._rolled_back = (
            f"the running statement of {migration.name} was cancelled or had ended; those before it are committed"
        )
        who = (self._settings.module_version, self._settings.runner)
        # A look from the connection that holds the lock by a transaction is one more thing to wait for.
        pid = 0 if lock.pooled else connection.info.backend_pid
        with self._around(migration):
            if lock.pooled:
                _refuse_settings(migration)
                self._log("limits are not set: behind a pooler they would stay with somebody else's session")
            else:
                self._reset(connection, local=False)
                if not lock_session(connection):
                    # A runner that lost its lock's connection is still at its statement; wait for its end.
                    self._blockers = holders(connection)
                    raise _Passing(None, migration, None, text="another runner's statement still runs")
                rows = {each.number: each.done for each in record.read(connection)}
                if rows.get(migration.number, 0) != done:
                    raise _Passing(None, migration, None, text="another runner has gone on with it")
            record.create(connection)
            if done == total:
                self._log(f"{migration.name}: what was left of it is gone from the file")
                with self._committed(connection, (migration.name,), f"{migration.name} is done"):
                    record.write(connection, migration, total, 0, who)
            for index in range(done if done < total else 0):
                # Set in another session than this one; the statements that are left were written to run under it.
                if migration.statements[index].sets_the_session():
                    self._execute(connection, lock, pid, migration, index)
            for index in range(done, total):
                lock.check()
                began = time.monotonic()
                self._drop_invalid_index(connection, migration.statements[index])
                self._execute(connection, lock, pid, migration, index)
                seconds = time.monotonic() - began
                last = index + 1 == total
                with (
                    self._committed(connection, (migration.name,), f"{migration.name} is done")
                    if last
                    else connection.transaction()
                ):
                    # What the file has set is for its next statement, and not for the record.
                    connection.execute(_OURSELVES)
                    record.write(connection, migration, index + 1, seconds, who)
            if not lock.pooled:
                self._reset(connection, local=False)
                unlock_session(connection)

    def _execute(
        self, connection: psycopg.Connection, lock: RunnerLock, pid: int, migration: Migration, index: int
    ) -> None:
        """Runs one statement, watching who blocks it unless `pid`, the server process that runs it, is 0."""
        statement = migration.statements[index]
        place = f"{migration.name} statement {index + 1}/{len(migration.statements)} line {statement.line}"
        self._log(f"{place}: {statement.shortened(120)}")
        watcher = Watcher(lock.connection, pid, _LOOK)
        began = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                if pid:
                    stack.enter_context(watcher)
                execute_one(connection, statement.text)
        except psycopg.Error as error:
            self._blockers = watcher.seen or self._blockers
            # A parameter that nobody fills in is a protocol violation, of class 08 like a connection that breaks.
            if is_transient(error) and (error.sqlstate != _PROTOCOL_VIOLATION or connection.closed):
                raise _Passing(error, migration, statement) from None
            raise _failed(error, migration, statement) from None
        self._waited += watcher.waited
        seconds = time.monotonic() - began
        if seconds >= 1:
            self._log(f"{place}: {seconds:.1f} s")

    @contextlib.contextmanager
    def _around(self, migration: Migration | None) -> Iterator[None]:
        """Gives errors that come from around the statements, COMMIT above all, a place and a kind."""
        try:
            yield
        except psycopg.Error as error:
            if is_transient(error):
                raise _Passing(error, migration, None) from None
            name = migration.name if migration else ""
            raise _refused(error, f"COMMIT or the record of {name or 'the migrations'}", file=name) from None

    def _reset(self, connection: psycopg.Connection, *, local: bool) -> None:
        """Makes the session ours again, and sets the limits: a file may have set anything for itself, a role above all.

        Behind a pooler that takes what a file has set out of the session that somebody else is to have next.
        """
        scope = "LOCAL" if local else "SESSION"
        milliseconds = {
            "lock_timeout": self._settings.lock_timeout,
            "statement_timeout": self._settings.statement_timeout,
            "idle_in_transaction_session_timeout": self._settings.idle_timeout,
            # A runner killed in mid-statement would otherwise leave its backend working, locks held, to the end.
            "client_connection_check_interval": 1.0,
        }
        # RESET ALL leaves these two, and gives a pooler's session the encoding of the client it was opened for.
        commands = ["RESET SESSION AUTHORIZATION", "RESET ROLE", "RESET ALL", "SET client_encoding = 'UTF8'"]
        commands += [f"SET {scope} {name} = {round(seconds * 1000)}" for name, seconds in milliseconds.items()]
        connection.execute("; ".join(commands).encode())

    def _wait_less(self, connection: psycopg.Connection) -> None:
        """Lets the waits of one transaction together last no longer than `lock_timeout`.

        What it has locked stays locked while it waits for the next lock, and others wait for that all the time.
        """
        if self._waited:
            left = max(self._settings.lock_timeout - self._waited, _LOOK)
            connection.execute(f"SET LOCAL lock_timeout = {round(left * 1000)}".encode())

    def _drop_invalid_index(self, connection: psycopg.Connection, statement: Statement) -> None:
        """Removes what an interrupted CREATE INDEX CONCURRENTLY has left, or IF NOT EXISTS would be content with it.

        An index is in its table's schema, which need not be in the search path.
        """
        index = statement.concurrent_index()
        if index is None:
            return
        row = connection.execute(
            "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_catalog.pg_index i "
            "JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE NOT i.indisvalid AND i.indrelid = to_regclass(%s) AND c.relname = (parse_ident(%s))[1]::name",
            (index.table, index.name),
        ).fetchone()
        if row:
            self._log(f"dropping the invalid index {row[0]} of an interrupted attempt")
            connection.execute(f"DROP INDEX CONCURRENTLY {row[0]}".encode())

    def _give_up(self, trouble: _Passing, attempts: int, seconds: float) -> MigratorError:
        place = {"file": trouble.file, "line": trouble.line, "statement": trouble.statement}
        if trouble.sqlstate == "55P03" or (not trouble.sqlstate and self._blockers):
            return Blocked(
                f"blocked for {seconds:.0f} s, {attempts} attempts, {self._so_far()}: {name_all(self._blockers)}",
                hint="Wait for that session, or end it with pg_terminate_backend(pid); then run the migration again.",
                sqlstate=trouble.sqlstate,
                blockers=self._blockers,
                **place,  # type: ignore[arg-type]
            )
        kind = DatabaseUnavailable if trouble.lost else StatementFailed
        return kind(
            f"{trouble} (for {seconds:.0f} s, {attempts} attempts), {self._so_far()}",
            hint="This kind of trouble passes by itself as a rule; run the migration again.",
            sqlstate=trouble.sqlstate,
            **place,  # type: ignore[arg-type]
        )


class _Passing(Exception):
    """Trouble after which the same transaction may succeed when tried again."""

    def __init__(
        self, error: psycopg.Error | None, migration: Migration | None, statement: Statement | None, text: str = ""
    ) -> None:
        what = text or (error and (error.diag.message_primary or " ".join(str(error).split()))) or "unknown"
        self.sqlstate = (error.sqlstate if error else "") or ""
        self.lost = error is not None and is_lost(error)
        self.file = migration.name if migration else ""
        self.line = statement.line if statement else None
        self.statement = statement.shortened() if statement else ""
        place = f"{self.file} line {self.line}: " if statement else ""
        super().__init__(f"{place}{what}" + (f" (SQLSTATE {self.sqlstate})" if self.sqlstate else ""))


def _invalid(migration: Migration, statement: Statement, what: str, hint: str) -> InvalidMigration:
    return InvalidMigration(
        f"{migration.name}: line {statement.line}: {what}",
        hint=hint,
        file=migration.name,
        line=statement.line,
        statement=statement.shortened(),
    )


def _refuse_settings(migration: Migration) -> None:
    for statement in migration.statements:
        if statement.sets_the_session():
            raise _invalid(
                migration,
                statement,
                "behind a pooler each statement may run in another session, and what is set stays with somebody else's",
                "Connect to the server itself, or write names with their schema and do without the setting.",
            )


def _read_again(connection: psycopg.Connection) -> list[record.Applied]:
    # Errors go to the caller as they are: a lost connection here is to be tried again.
    return record.read(connection)


_COMMITTED, _ABORTED, _OPEN = "committed", "aborted", "in progress"


def _status(connection: psycopg.Connection, transaction: str) -> str:
    """Says how a transaction ended; empty where this server never had it, having taken the place of the one that did."""
    try:
        row = connection.execute("SELECT pg_xact_status(%s::xid8)", (transaction,)).fetchone()
    except psycopg.errors.InvalidParameterValue:
        return ""
    return str(row[0]) if row and row[0] else ""


def _failed(error: psycopg.Error, migration: Migration, statement: Statement) -> StatementFailed:
    diagnosis = error.diag
    line = statement.line
    if diagnosis.statement_position:
        line = statement.line_at(int(diagnosis.statement_position))
    hint = diagnosis.message_hint or ""
    if error.sqlstate == _NOT_IN_A_TRANSACTION and migration.transactional:
        hint = "Put it into a file of its own that starts with `-- migrate: non-transactional`."
    elif error.sqlstate == _NO_SUCH_SAVEPOINT:
        hint = "A file can only go back to a savepoint that it has made itself."
    elif error.sqlstate == _SYNTAX_ERROR and not diagnosis.statement_position:
        hint = "The server sees several statements here, and the runner one: their ends must be plain to see for both."
    elif error.sqlstate == _PROTOCOL_VIOLATION:
        hint = "A parameter such as $1 has no value in a file; write the value."
    elif error.sqlstate == "57014":
        hint = (
            "statement_timeout ended it: MIGRATE_STATEMENT_TIMEOUT sets how many seconds it may take, 0 for no limit."
        )
    details = [diagnosis.message_detail, diagnosis.context and " ".join(diagnosis.context.split())]
    message = ". ".join([diagnosis.message_primary or " ".join(str(error).split()), *filter(None, details)])
    return StatementFailed(
        message,
        hint=hint,
        file=migration.name,
        line=line,
        statement=statement.shortened(),
        sqlstate=error.sqlstate or "",
    )


def _refused(error: psycopg.Error, what: str, *, file: str = "", hint: str = "") -> StatementFailed:
    message = error.diag.message_primary or " ".join(str(error).split())
    detail = f". {error.diag.message_detail}" if error.diag.message_detail else ""
    return StatementFailed(
        f"{what}: {message}{detail}", hint=error.diag.message_hint or hint, file=file, sqlstate=error.sqlstate or ""
    )
