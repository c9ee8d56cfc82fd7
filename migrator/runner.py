"""Runs the pending migrations: all of them and their record in one transaction."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

import psycopg
from psycopg import sql

from migrator import cleanup, concurrently, files, record
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
from migrator.lock import CLASS, RunnerLock, holders, lock_session, lock_transaction, name_all
from migrator.progress import Paced
from migrator.redaction import redacted, told
from migrator.sessions import Log, Watcher, connect, execute_one, is_lost, is_transient, pause
from migrator.settings import Settings
from migrator.statements import Statement

_NOT_IN_A_TRANSACTION = "25001"
_PROTOCOL_VIOLATION = "08P01"
_SYNTAX_ERROR = "42601"
_UNSAFE_NEW_ENUM_VALUE = "55P04"
_HINTS = {
    "25006": "The database or the role is set to be read only: see default_transaction_read_only.",
    "3B001": "A file can only go back to a savepoint that it has made itself.",
    "55006": "What this file has left open is in the way: close its cursors, and write SET CONSTRAINTS ALL IMMEDIATE before it.",
    "55P04": "Put the ALTER TYPE ... ADD VALUE into a file of its own before this one: its value cannot be used before it is committed.",
    "57014": "statement_timeout ended it: MIGRATE_STATEMENT_TIMEOUT sets how many seconds it may take, 0 for no limit.",
}
_CATCHES = re.compile(r"\bEXCEPTION\s+WHEN\b", re.IGNORECASE)
# Values of an enum that this transaction has added to a type which is older.
_ADDED = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid, (
    SELECT array_agg(transactionid) FROM pg_catalog.pg_locks WHERE pid = pg_backend_pid() AND locktype = 'transactionid') own (xids)
    WHERE e.xmin = ANY (own.xids) AND t.xmin <> ALL (own.xids))
"""
# Routines that catch errors, and tables whose triggers call one.
_CATCHING = """
WITH catching AS (SELECT p.oid, p.proname::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE l.lanname = 'plpgsql' AND p.prosrc ~* '\\mexception\\s+when\\M')
SELECT proname FROM catching UNION SELECT c.relname FROM catching k JOIN pg_catalog.pg_trigger t ON t.tgfoid = k.oid
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
"""
_ADDS_VALUE = re.compile(r"\bADD\s+VALUE\b", re.IGNORECASE)
_SETS_CONSTRAINTS = re.compile(r"\bSET\s+CONSTRAINTS\s+(?P<all>ALL\b)?", re.IGNORECASE)
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
        missing: applied files that are not among this image's, although later ones are.
        seconds: how long it took.
        attempts: how often it was tried.
    """

    outcome: str
    applied: tuple[str, ...]
    before: int
    after: int
    ahead: tuple[str, ...]
    missing: tuple[str, ...]
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
    migrations = read(directory, log)
    with connect(conninfo, settings, log) as connection:
        return record.plan(migrations, record.read(connection))


def read(directory: Path | str | Sequence[Path | str], log: Log) -> list[Migration]:
    """Reads the files, and logs what lies beside them and is not taken for one.

    Args:
        directory: directory, or directories, of the SQL files.
        log: where lines for people go.

    Raises:
        InvalidMigration: see `files.read`.
    """
    migrations = files.read(directory)
    if skipped := files.skipped(directory):
        log(f"WARNING: not run, as no NNNN_name.sql in the folder itself: {', '.join(skipped)}")
    return migrations


def tell_missing(todo: record.Plan, log: Log) -> None:
    """Logs which applied files are not there any more."""
    if todo.missing:
        log(
            f"WARNING: {', '.join(todo.missing)} applied to this database, and not among these files, which go further: "
            "deleted since, or of a version that this one does not come after"
        )


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
    migrations = read(directory, log)
    with contextlib.closing(connect(conninfo, settings, log)) as connection:
        todo = record.plan(migrations, _read(connection))
        tell_missing(todo, log)
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
    seconds = time.monotonic() - started
    return Result("unchanged", (), todo.before, todo.before, todo.ahead, todo.missing, seconds)


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
        self._ends: set[int] = set()  # numbers of files after which PostgreSQL demands a COMMIT
        self._given: dict[str, str] | None = None  # settings with which the session was opened
        self._left: dict[str, str] = {}  # in it by the statement that has run
        self._running: _Running | None = None
        self._trouble: _Passing | None = None  # after which it is about to try again
        self._statements = Paced(log)
        self._warnings, self._notices = Paced(log), Paced(log)

    def go(self) -> Result:
        try:
            return self._go()
        except Terminated as signal:
            signal.words = self._words(signal.signal_name, time.monotonic())
            ended = self._ended()
            signal.words["message"] = f"{signal.words['message']}; {ended}"
            self._log(f"{signal.signal_name}: {ended}")
            raise
        finally:
            self._statements.close()
            if unsaid := self._warnings.close() + self._notices.close():
                self._log(f"{unsaid} more messages of the server were not logged: more than one a second")

    def _go(self) -> Result:
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
                    self._given = None
                    return self._locked(connection, lock, attempt + 1)
            except _Outdated:
                wait = 0.0
            except (_Passing, psycopg.Error) as error:
                if isinstance(error, psycopg.Error):  # outside of any statement of ours: the lock, the record
                    if not is_transient(error):
                        raise _refused(error, "the runner's own statement") from None
                    error = _Passing(error, None, None)
                now = time.monotonic()
                self._running, self._trouble = None, error
                trouble_since = now - error.waited if trouble_since is None else trouble_since
                wait = pause(attempt)
                attempt += 1
                if now + wait - trouble_since > self._settings.retry_budget:
                    raise self._give_up(error, attempt, now - trouble_since) from None
                by = f"; blocked by {name_all(self._blockers)}" if self._blockers else ""
                self._log(f"{self._so_far(error)}: {error}{by}; trying again in {wait:.1f} s (attempt {attempt})")
            except StatementFailed as error:
                self._log(self._rolled_back)
                if self._applied:
                    error.more["applied"] = list(self._applied)
                raise
            except MigratorError as error:
                if self._sent:
                    error.message = f"{error.message}; {self._so_far()}"
                raise

    def _so_far(self, trouble: _Passing | None = None) -> str:
        if self._sent:
            return f"whether {self._sent} is committed is not known"
        return "interrupted, and cleared away before it is tried again" if trouble and trouble.traces else "rolled back"

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

    def _words(self, signal_name: str, at: float) -> dict[str, object]:
        """Gives the last words of a run that a signal has ended."""
        deadline, seconds = self._settings.deadline, at - self._started
        # The Job has begun before this did, by the time that it took to schedule the pod and to pull its image.
        by_deadline = 0 < deadline <= seconds + min(30.0, deadline / 2)
        message = f"ended by {signal_name} after {seconds:.0f} s"
        hint = "Run it again; it goes on from what is committed."
        again = "run again as it is, it would end there again; see what holds it up, or raise migration.activeDeadlineSeconds."
        if by_deadline:
            message = f"ended by the deadline of its Job, {deadline:.0f} s (migration.activeDeadlineSeconds)"
            hint = f"R{again[1:]}"
        elif not deadline:
            hint = f"If the deadline of its Job has ended it: {again}"
        place: dict[str, object] = {}
        if running := self._running:
            message += f", at {running.place}, which had run for {at - running.since:.0f} s"
            place = {
                "file": running.migration.name,
                "line": running.statement.line,
                "statement": running.statement.shortened(),
            }
        elif trouble := self._trouble:
            message += f", before another attempt after this: {trouble}"
            place = {"file": trouble.file, "line": trouble.line, "statement": trouble.shown}
        if self._blockers:
            message += f"; blocked by {name_all(self._blockers)}"
        return {"message": message, "hint": hint, "blockers": [asdict(each) for each in self._blockers], **place}

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
        self._trouble = None
        _refuse_standby(connection)
        connection.add_notice_handler(self._notice)
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
            if self._is_outdated(connection, lock):
                raise _Outdated
            alike = next(groupby(todo.pending, key=lambda each: each.transactional))
            batch = list(alike[1])
            if alike[0]:
                ends = (index for index, each in enumerate(batch, 1) if each.number in self._ends)
                batch = batch[: next(ends, len(batch))]
                self._together(connection, lock, batch, rest=len(todo.pending) - len(batch))
            else:
                self._alone(connection, lock, batch[0], todo.resumed.get(batch[0].number, 0))
        if not self._applied:
            self._log("another runner has applied everything meanwhile")
            return replace(_unchanged(todo, self._started, self._log), attempts=attempt)
        seconds = time.monotonic() - self._started
        self._log(f"done: {len(self._applied)} applied, the database is at {todo.before} ({seconds:.2f} s)")
        applied = tuple(self._applied)
        return Result("migrated", applied, self._before, todo.before, todo.ahead, todo.missing, seconds, attempt)

    def _together(self, connection: psycopg.Connection, lock: RunnerLock, batch: list[Migration], rest: int) -> None:
        """Runs files in one transaction, their record with them."""
        if rest:
            self._log(f"{len(batch)} files in one transaction; {rest} more follow outside of it")
        names = tuple(each.name for each in batch)
        left = f"{', '.join(self._applied)} stays committed" if self._applied else "the database is as it was"
        self._rolled_back = f"rolled back {', '.join(names)}; {left}"
        try:
            with self._around(None, batch), self._committed(connection, names, "commit"):
                self._batch(connection, lock, batch)
        except StatementFailed as error:
            if error.sqlstate != _UNSAFE_NEW_ENUM_VALUE or not self._divide(batch, error.file):
                raise
            return
        except _Ends as end:
            self._ends.add(end.number)
            self._running = None
            self._log(f"rolled back: {end}; so it ends a transaction")
            return
        self._rolled_back = f"nothing to roll back; {', '.join(self._applied)} is committed"

    def _divide(self, batch: list[Migration], name: str) -> bool:
        """Ends the transaction before a file that uses an enum's value which an earlier one of it adds.

        PostgreSQL lets nobody use a value before it is committed. As little as possible is committed before: what comes up
        to the file that adds a value.

        Returns:
            Whether there is such a file; within a single one nothing helps.
        """
        earlier = batch[: next(index for index, each in enumerate(batch) if each.name == name)]
        adding = [each for each in earlier if any(_ADDS_VALUE.search(statement.text) for statement in each.statements)]
        if not adding:
            return False
        last, self._running = adding[-1], None
        self._ends.add(last.number)
        self._log(
            f"rolled back: {name} uses an enum's value that an earlier file adds, and PostgreSQL wants that to be committed "
            f"first; so {last.name} ends a transaction"
        )
        return True

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
        connection.execute("SAVEPOINT migrator_batch")
        try:
            self._files(connection, lock, batch)
        except BaseException:
            if lock.pooled:  # somebody else has the session next; what is not undone by a rollback is undone here
                with contextlib.suppress(psycopg.Error):
                    connection.execute("ROLLBACK TO SAVEPOINT migrator_batch")
                    cleanup.clean(connection)
            raise

    def _files(self, connection: psycopg.Connection, lock: RunnerLock, batch: list[Migration]) -> None:
        self._reset(connection, local=True)
        if not lock_transaction(connection):
            # A runner that lost its lock's connection is still in its transaction; wait for its end.
            self._blockers = holders(connection)
            raise _Passing(None, None, None, text="another runner's transaction is still open")
        # Not connection.info.backend_pid: a pooler makes that one up.
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        pid = int(row[0]) if row else 0
        self._waited = 0.0
        _create_record(connection)
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
            is_deferred = self._check_deferred(connection, migration)
            connection.execute("RELEASE SAVEPOINT migrator_file")
            self._reset(connection, local=True)
            if rest := batch[batch.index(migration) + 1 :]:
                self._end(connection, migration, rest, is_deferred)
            who = (self._settings.module_version, self._settings.runner)
            record.write(connection, migration, len(migration.statements), time.monotonic() - began, who)

    def _end(
        self, connection: psycopg.Connection, migration: Migration, rest: Sequence[Migration], is_deferred: bool
    ) -> None:
        """Ends the transaction after a file that leaves what the next one would not find if it ran by itself.

        Raises:
            _Ends: there is such a thing.
        """
        if not is_deferred:
            raise _Ends(migration, "has checked a deferred constraint whose name another one has that is not deferred")
        # What takes the place of a setting that is gone only a new session knows.
        if gone := sorted((self._given or {}).keys() - cleanup.given(connection).keys()):
            raise _Ends(migration, f"takes from the database or the role its {', '.join(gone)}")
        added = connection.execute(_ADDED).fetchone() == (True,)
        if added or any(_ADDS_VALUE.search(each.text) for each in migration.statements):
            names = {str(name) for (name,) in connection.execute(_CATCHING).fetchall()}
            text = " ".join(each.text for later in rest for each in later.statements)
            if _CATCHES.search(text) or names & set(re.findall(r"\w+", text)):
                raise _Ends(
                    migration, "adds an enum's value, and what comes after it would catch that it cannot be used yet"
                )

    def _is_outdated(self, connection: psycopg.Connection, lock: RunnerLock) -> bool:
        """Whether a session that is opened now would have other settings than this one; behind a pooler none of its own."""
        now = cleanup.given(connection)
        if self._given is None or lock.pooled:
            # Nobody knows when a pooler has opened a session: it is given all of them each time.
            self._given = {} if lock.pooled else now
        return not lock.pooled and now != self._given

    def _check_deferred(self, connection: psycopg.Connection, migration: Migration) -> bool:
        self._wait_less(connection)
        sets = [found for each in migration.statements for found in _SETS_CONSTRAINTS.finditer(each.text)]
        try:
            return cleanup.check_deferred(
                connection, sets_constraints=bool(sets), sets_all=any(found["all"] for found in sets)
            )
        except psycopg.Error as error:
            if is_transient(error):
                raise _Passing(error, migration, None) from None
            what = "a check that was deferred to the end of the file"
            raise _refused(error, what, file=migration.name, quoted=[migration]) from None

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
                _refuse_sessions(migration)
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
            _create_record(connection)
            kept = next((each.session for each in record.read(connection) if each.number == migration.number), "")
            if 0 < done < total:
                _refuse_hidden(migration, done, json.loads(kept or "[]"))
            if done == total:
                self._log(f"{migration.name}: what was left of it is gone from the file")
                with self._committed(connection, (migration.name,), f"{migration.name} is done"):
                    record.write(connection, migration, total, 0, who)
            if done < total:
                _refuse_lost(migration, done)
            for index in range(done if done < total else 0):
                # Set in another session than this one; the statements that are left were written to run under it.
                if migration.statements[index].sets_the_session():
                    self._execute(connection, lock, pid, migration, index)
            before = {} if lock.pooled else _left(connection)
            hidden: dict[str, str] = {}  # what a later statement finds and no text tells
            for index in range(done, total):
                lock.check()
                began = time.monotonic()
                self._execute(connection, lock, pid, migration, index)
                seconds = time.monotonic() - began
                last = index + 1 == total
                now = self._left if lock.pooled else _left(connection)
                different = {each for each in {*before, *now} if before.get(each) != now.get(each)}
                is_told = migration.statements[index].sets_the_session() or migration.statements[index].made()
                hidden = {key: value for key, value in hidden.items() if key not in different}
                if not is_told:
                    hidden |= {each: now.get(each, "") for each in different}
                before = {} if lock.pooled else now
                with (
                    self._committed(connection, (migration.name,), f"{migration.name} is done")
                    if last
                    else connection.transaction()
                ):
                    # What the file has set is for its next statement, and not for the record.
                    connection.execute(_OURSELVES)
                    record.write(connection, migration, index + 1, seconds, who)
                    if hidden or kept:
                        kept = json.dumps(sorted(hidden))
                        record.keep_session(connection, migration, kept)
                if lock.pooled and not last:
                    _refuse_hidden(migration, index + 1, list(hidden))
            if not lock.pooled:
                self._reset(connection, local=False)  # the lock goes with the rest

    def _execute(
        self, connection: psycopg.Connection, lock: RunnerLock, pid: int, migration: Migration, index: int
    ) -> None:
        """Runs one statement, watching who blocks it unless `pid`, the server process that runs it, is 0."""
        statement = migration.statements[index]
        self._running = running = _Running(migration, index, time.monotonic())
        self._statements(f"{running.place}: {statement.shortened(120)}")
        watcher = Watcher(lock.connection, pid, _LOOK)
        try:
            with contextlib.ExitStack() as stack:
                if pid:
                    stack.enter_context(watcher)
                if migration.transactional:
                    execute_one(connection, statement.text)
                elif not lock.pooled:
                    text = concurrently.cleared(connection, statement, self._log)
                    with self._patience(connection, statement):
                        execute_one(connection, text)
                else:
                    text = concurrently.cleared(connection, statement, self._log)
                    # One round trip, within which no pooler gives the session to another. A file for which the statement
                    # sets something is refused; this is for what a text does not tell. Before it is what others have left.
                    with contextlib.ExitStack() as ending, connection.pipeline():
                        try:
                            # BEGIN makes the transaction that has begun by itself one that COMMIT ends without a warning.
                            for command in (*cleanup.COMMANDS, "BEGIN", "COMMIT"):
                                connection.execute(command)
                            execute_one(connection, text)
                            for command in ("BEGIN", "COMMIT"):
                                connection.execute(command)
                            left = cleanup.left(connection, CLASS)
                            for command in cleanup.COMMANDS:
                                connection.execute(command)
                        except Terminated:
                            # psycopg cancels only what it waits for, and the pipeline's end waits for what was sent before.
                            ending.enter_context(_cancelled(connection))
                            raise
                    self._left = dict(left.fetchall())
        except psycopg.Error as error:
            self._blockers = watcher.seen or self._blockers
            # A parameter that nobody fills in is a protocol violation, of class 08 like a connection that breaks.
            if is_transient(error) and (error.sqlstate != _PROTOCOL_VIOLATION or connection.closed):
                raise _Passing(error, migration, statement, waited=watcher.waited) from None
            raise _failed(error, migration, statement) from None
        except Terminated:
            self._blockers = watcher.seen
            raise
        self._running = None
        self._statements.forget()
        self._waited += watcher.waited
        seconds = time.monotonic() - running.since
        if seconds >= 1:
            self._log(f"{running.place}: {seconds:.1f} s")

    @contextlib.contextmanager
    def _patience(self, connection: psycopg.Connection, statement: Statement) -> Iterator[None]:
        """Lets an index's CONCURRENTLY wait for as long as attempts would be made, unless its file says for how long.

        Nobody queues behind it, and each attempt that gives up begins anew and leaves an index behind, that of a TOAST table
        for good where the role is no superuser.
        """
        ours, longer = (round(each * 1000) for each in (self._settings.lock_timeout, self._settings.retry_budget))
        is_set = "UPDATE pg_catalog.pg_settings SET setting = %s WHERE name = 'lock_timeout' AND setting = %s"
        if not concurrently.is_of_index(statement) or not 0 < ours < longer:
            yield
            return
        connection.execute(is_set, (str(longer), str(ours)))
        yield
        connection.execute(is_set, (str(ours), str(longer)))

    def _notice(self, said: psycopg.errors.Diagnostic) -> None:
        """Logs what the server says beside its answers, such as a RAISE WARNING."""
        text = " ".join(filter(None, (said.message_primary, said.message_detail)))
        if self._running:
            text = redacted(text, self._running.statement.text)
        severity = said.severity_nonlocalized or said.severity
        paced = self._warnings if severity == "WARNING" else self._notices
        paced(f"{severity}: {' '.join(text.split())}")

    @contextlib.contextmanager
    def _around(self, migration: Migration | None, batch: Sequence[Migration] = ()) -> Iterator[None]:
        """Gives errors that come from around the statements, COMMIT above all, a place and a kind."""
        try:
            yield
        except psycopg.Error as error:
            if is_transient(error):
                raise _Passing(error, migration, None) from None
            name = migration.name if migration else ""
            what = f"COMMIT or the record of {name or 'the migrations'}"
            raise _refused(error, what, file=name, quoted=batch) from None

    def _reset(self, connection: psycopg.Connection, *, local: bool) -> None:
        """Makes the session as a new one, and sets the limits: a file may have set anything for itself, a role above all.

        Behind a pooler that takes what a file has left out of the session that somebody else is to have next.
        """
        scope = "LOCAL" if local else "SESSION"
        milliseconds = {
            "lock_timeout": self._settings.lock_timeout,
            "statement_timeout": self._settings.statement_timeout,
            "idle_in_transaction_session_timeout": self._settings.idle_timeout,
            # A runner killed in mid-statement would otherwise leave its backend working, locks held, to the end.
            "client_connection_check_interval": 1.0,
        }
        cleanup.clean(connection)
        if local:
            before = self._given or {}
            cleanup.give(connection, {k: v for k, v in cleanup.given(connection).items() if before.get(k) != v})
        commands = [f"SET {scope} {name} = {round(seconds * 1000)}" for name, seconds in milliseconds.items()]
        connection.execute("; ".join(commands).encode())

    def _wait_less(self, connection: psycopg.Connection) -> None:
        """Lets the waits of one transaction together last no longer than `lock_timeout`.

        What it has locked stays locked while it waits for the next lock, and others wait for that all the time.
        """
        if self._waited:
            left = max(self._settings.lock_timeout - self._waited, _LOOK)
            connection.execute(f"SET LOCAL lock_timeout = {round(left * 1000)}".encode())

    def _give_up(self, trouble: _Passing, attempts: int, seconds: float) -> MigratorError:
        place = {"file": trouble.file, "line": trouble.line, "statement": trouble.shown}
        if trouble.sqlstate == "55P03" or (not trouble.sqlstate and self._blockers):
            gids = [each.gid for each in self._blockers if each.gid]
            hint = "Wait for that session, or end it with pg_terminate_backend(pid); then run the migration again."
            if gids:
                what = "; ".join(f"ROLLBACK PREPARED {sql.Literal(gid).as_string(None)}" for gid in gids)
                hint = f"A prepared transaction outlives its session: whoever it belongs to has to end it ({what}, or COMMIT)."
            return Blocked(
                f"blocked for {seconds:.0f} s, {attempts} attempts, {self._so_far(trouble)}: {name_all(self._blockers)}",
                hint=hint,
                sqlstate=trouble.sqlstate,
                blockers=self._blockers,
                **place,  # type: ignore[arg-type]
            )
        kind = DatabaseUnavailable if trouble.lost else StatementFailed
        return kind(
            f"{trouble} (for {seconds:.0f} s, {attempts} attempts), {self._so_far(trouble)}",
            hint="This kind of trouble passes by itself as a rule; run the migration again.",
            sqlstate=trouble.sqlstate,
            **place,  # type: ignore[arg-type]
        )


class _Ends(Exception):
    """A file after which a transaction has to end."""

    def __init__(self, migration: Migration, why: str) -> None:
        self.number = migration.number
        super().__init__(f"{migration.name} {why}")


class _Outdated(Exception):
    """What is committed gives a new session other settings than this one has."""


@dataclass(frozen=True)
class _Running:
    """A statement that was sent and has not ended.

    Attributes:
        migration: its file.
        index: which of its statements.
        since: when it was sent, by the monotonic clock.
    """

    migration: Migration
    index: int
    since: float

    @property
    def statement(self) -> Statement:
        return self.migration.statements[self.index]

    @property
    def place(self) -> str:
        total = len(self.migration.statements)
        return f"{self.migration.name} statement {self.index + 1}/{total} line {self.statement.line}"


@contextlib.contextmanager
def _cancelled(connection: psycopg.Connection) -> Iterator[None]:
    """Has the server end what it runs for a connection, until the block ends: a first cancellation may come before the statement."""
    ended = threading.Event()

    def cancel() -> None:
        while not ended.wait(0.1):
            with contextlib.suppress(psycopg.Error):
                connection.cancel_safe(timeout=2)

    thread = threading.Thread(target=cancel, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _Passing(Exception):
    """Trouble after which the same transaction may succeed when tried again."""

    def __init__(
        self,
        error: psycopg.Error | None,
        migration: Migration | None,
        statement: Statement | None,
        text: str = "",
        waited: float = 0.0,
    ) -> None:
        self.waited = waited  # seconds for locks
        what = text or (error and (error.diag.message_primary or " ".join(str(error).split()))) or "unknown"
        what = redacted(what, statement.text) if statement else what
        self.sqlstate = (error.sqlstate if error else "") or ""
        self.lost = error is not None and is_lost(error)
        self.file = migration.name if migration else ""
        self.line = statement.line if statement else None
        self.traces = statement is not None and concurrently.leaves_traces(statement)
        self.shown = statement.shortened() if statement else ""
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


def _refuse_sessions(migration: Migration) -> None:
    for statement in migration.statements:
        if statement.needs_a_session():
            raise _invalid(
                migration,
                statement,
                "behind a pooler each statement may run in another session, and what is set stays with somebody else's",
                "Connect to the server itself, or do without: write names with their schema, and what belongs together as one "
                "statement.",
            )


def _refuse_lost(migration: Migration, done: int) -> None:
    """Refuses to go on without what a statement has made in a session that has ended."""
    for index, statement in enumerate(migration.statements[:done], 1):
        made = statement.made()
        if made and any(each.mentions(made) for each in migration.statements[done:]):
            raise _invalid(
                migration,
                statement,
                f"it stopped after statement {done}, and what statement {index} has left in its session has ended with that",
                f"End the file after statement {done}, and write the rest into a new one, with what it needs.",
            )


def _left(connection: psycopg.Connection) -> dict[str, str]:
    return dict(cleanup.left(connection, CLASS).fetchall())


def _refuse_hidden(migration: Migration, done: int, hidden: Sequence[str]) -> None:
    """Refuses to go on without what a function or EXECUTE has set in a session that has ended, or is another's behind a pooler."""
    rest = migration.statements[done:]
    kinds = ("the relation ", "the function ", "the statement ", "the cursor ")
    names = {each: next((each.removeprefix(kind) for kind in kinds if each.startswith(kind)), "*") for each in hidden}
    lost = [
        each
        for each, name in names.items()
        if any(statement.mentions(f'"{name}"' if name != "*" else name) for statement in rest)
    ]
    if lost:
        raise _invalid(
            migration,
            migration.statements[done - 1],
            f"after statement {done} the rest would run without {', '.join(lost)}, which a function or EXECUTE has left in another session",
            f"End the file after statement {done}, and write the rest into a new one, with what it needs.",
        )


def _refuse_standby(connection: psycopg.Connection) -> None:
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if row and row[0]:
        raise DatabaseUnavailable(
            "the server is a standby, which takes no writes",
            hint="Connect to the primary; where the URI names all hosts, target_session_attrs=read-write finds it.",
            sqlstate="25006",
        )


def _create_record(connection: psycopg.Connection) -> None:
    try:
        record.create(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        user = sql.Identifier(connection.info.user).as_string(None)
        hint = f"As an administrator: CREATE SCHEMA migrator AUTHORIZATION {user};"
        raise _refused(error, "creating the record", hint=hint) from None


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
    before = ";\n".join(each.text for each in migration.statements[: migration.statements.index(statement)])
    hint = _HINTS.get(error.sqlstate or "") or redacted(diagnosis.message_hint or "", statement.text, before)
    if error.sqlstate == _NOT_IN_A_TRANSACTION and migration.transactional:
        hint = "Put it into a file of its own that starts with `-- migrate: non-transactional`."
    elif error.sqlstate == _SYNTAX_ERROR and not diagnosis.statement_position:
        hint = "The server sees several statements here, and the runner one: their ends must be plain to see for both."
    elif error.sqlstate == _PROTOCOL_VIOLATION:
        hint = "A parameter such as $1 has no value in a file; write the value."
    return StatementFailed(
        told(error, statement.text, before),
        hint=hint,
        file=migration.name,
        line=line,
        statement=statement.shortened(),
        sqlstate=error.sqlstate or "",
    )


def _refused(
    error: psycopg.Error, what: str, *, file: str = "", hint: str = "", quoted: Sequence[Migration] = ()
) -> StatementFailed:
    sql = ";\n".join(each.text for migration in quoted for each in migration.statements)
    return StatementFailed(
        f"{what}: {told(error, sql, context=False)}",
        hint=_HINTS.get(error.sqlstate or "") or error.diag.message_hint or hint,
        file=file,
        sqlstate=error.sqlstate or "",
    )
