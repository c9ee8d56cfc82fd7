"""What a CONCURRENTLY leaves behind when it is ended midway is cleared away before it is tried again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

import migrator
from migrator.errors import Blocked
from tests.cluster.migrator.conftest import QUIET, Database, Runner
from tests.cluster.stacks import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

ALONE = "-- migrate: non-transactional\n"
TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE INDEX t_v ON t (v); INSERT INTO t SELECT g, g::text FROM generate_series(1, 100) g"
LONG = "a_name_of_63_bytes_which_the_server_has_to_shorten_to_add_ccnew"
PARTED = (
    'CREATE SCHEMA "S"; CREATE TABLE "S".ev (id int, day int) PARTITION BY RANGE (day);'
    'CREATE TABLE "S"."Ev 1" PARTITION OF "S".ev FOR VALUES FROM (1) TO (2);'
    'CREATE TABLE "S".ev2 PARTITION OF "S".ev FOR VALUES FROM (2) TO (3);'
    'INSERT INTO "S".ev VALUES (1, 1), (2, 2); CREATE INDEX ev_id ON "S".ev (id)'
)
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
NOT_TOAST = " AND indrelid NOT IN (SELECT oid FROM pg_class WHERE relkind = 't')"


@contextmanager
def reader(base: Database, table: str) -> Iterator[psycopg.Connection]:
    """A session that has read a table, and keeps its transaction and its snapshot."""
    with psycopg.connect(base.uri) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(f"SELECT FROM {table}".encode())
        yield connection


CASES = pytest.mark.parametrize(
    ("setup", "table", "statement"),
    [
        (TABLE, "t", "REINDEX INDEX CONCURRENTLY t_v"),
        (TABLE, "t", "REINDEX (VERBOSE, CONCURRENTLY) INDEX public.t_v"),
        (f"{TABLE}; ALTER INDEX t_v RENAME TO {LONG}", "t", f"REINDEX INDEX CONCURRENTLY {LONG}"),
        (TABLE, "t", "REINDEX TABLE CONCURRENTLY t"),
        (TABLE, "t", "REINDEX SCHEMA CONCURRENTLY public"),
        (TABLE, "t", "REINDEX DATABASE CONCURRENTLY {database}"),
        (PARTED, '"S".ev', 'REINDEX INDEX CONCURRENTLY "S".ev_id'),
        (PARTED, '"S".ev', 'REINDEX TABLE CONCURRENTLY "S".ev'),
        (TABLE, "t", "CREATE INDEX CONCURRENTLY t_w ON t (v)"),
        (TABLE, "t", "DROP INDEX CONCURRENTLY t_v"),
        (PARTED, '"S".ev', 'ALTER TABLE "S".ev DETACH PARTITION "S"."Ev 1" CONCURRENTLY'),
    ],
)


def done(base: Database, statement: str) -> bool:
    """Nothing is left of an attempt, and of the statement's effect all is there."""
    # Indexes of TOAST tables only a superuser can drop.
    mine = "" if base.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") else NOT_TOAST
    assert base.value(INVALID + mine) == 0
    assert base.value("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 0
    if "DETACH" in statement:
        return bool(base.value("SELECT count(*) = 1 FROM pg_inherits WHERE inhparent = '\"S\".ev'::regclass"))
    wanted = {"CREATE INDEX": True, "DROP INDEX C": False}.get(statement[:12])
    name = "t_w" if wanted else "t_v"
    return wanted is None or bool(base.value("SELECT to_regclass(%s) IS NOT NULL", name)) == wanted


@CASES
def test_after_lock_timeouts_nothing_is_left(setup: str, table: str, statement: str, base: Database) -> None:
    base.execute(setup)
    statement = statement.replace("{database}", f'"{base.name}"')
    base.write(_0001_a=f"{ALONE}SET lock_timeout = 300;\n{statement}")
    tries = 0
    with reader(base, table) as blocking:

        def log(line: str) -> None:
            nonlocal tries
            if "trying again" in line:
                tries += 1
                if tries == 2:
                    blocking.rollback()

        result = migrator.run(base.uri, base.directory, QUIET, log)
    assert result.outcome == "migrated"
    assert tries == 2
    assert done(base, statement)


@pytest.mark.parametrize(
    "statement",
    ["REINDEX TABLE CONCURRENTLY t", "CREATE INDEX CONCURRENTLY t_w ON t (v)", "DROP INDEX CONCURRENTLY t_v"],
)
def test_where_nobody_queues_behind_it_it_waits_and_needs_one_attempt(statement: str, base: Database) -> None:
    base.execute(TABLE)
    base.write(_0001_a=ALONE + statement, _0002_b="CREATE TABLE b AS SELECT current_setting('lock_timeout') AS limits")
    with reader(base, "t") as blocking:
        timer = threading.Timer(1.5, blocking.rollback)

        def log(line: str) -> None:
            if line.endswith(statement):
                timer.start()

        result = migrator.run(base.uri, base.directory, QUIET, log)
        timer.join()
    assert result.attempts == 1
    assert base.value(INVALID) == 0
    assert base.value("SELECT limits FROM b") == "500ms"


def kill(runner: Runner, base: Database) -> None:
    runner.process.kill()


def end(runner: Runner, base: Database) -> None:
    runner.process.send_signal(signal.SIGTERM)


def cut(runner: Runner, base: Database) -> None:
    """Its connections are lost, and it is gone before it can try again."""
    runner.process.send_signal(signal.SIGSTOP)
    base.value(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'migrator%%'"
    )
    runner.process.kill()


@CASES
@pytest.mark.parametrize("ended", [kill, end, cut])
def test_after_a_runner_that_was_ended_midway_the_next_one_succeeds_and_nothing_is_left(
    ended: Callable[[Runner, Database], None], setup: str, table: str, statement: str, base: Database
) -> None:
    base.execute(setup)
    statement = statement.replace("{database}", f'"{base.name}"')
    base.write(_0001_a=ALONE + statement)
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'migrator%%'"
    with reader(base, table):
        runner = base.start(MIGRATE_LOCK_TIMEOUT="60")
        wait_for("a statement that waits", lambda: base.value(waits))
        ended(runner, base)
        runner.end()
        # The server notices within a second that nobody is there any more.
        wait_for("the end of its sessions", lambda: base.value(ours) == 0)
    assert migrator.run(base.uri, base.directory, QUIET).outcome == "migrated"
    assert done(base, statement)


def test_a_run_that_gives_up_says_that_what_is_left_is_cleared_away_by_the_next(base: Database) -> None:
    base.execute(TABLE)
    base.write(_0001_a=f"{ALONE}REINDEX INDEX CONCURRENTLY t_v")
    with reader(base, "t"):
        with pytest.raises(Blocked, match="cleared away before it is tried again: PID") as caught:
            migrator.run(base.uri, base.directory, migrator.Settings(lock_timeout=0.3, retry_budget=1))
        assert caught.value.message.startswith("blocked for 1 s, 1 attempts")
        assert (caught.value.file, caught.value.line) == ("0001_a.sql", 2)
    migrator.run(base.uri, base.directory, QUIET)
    assert base.value(INVALID) == 0


def test_an_invalid_index_that_no_reindex_has_left_stays_as_it_is(base: Database) -> None:
    base.execute(f"{TABLE}; CREATE TABLE u (id int); INSERT INTO u VALUES (1), (1)")
    for name in ("u_id", "u_other_ccnew"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            base.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON u (id)")
    base.execute("CREATE INDEX u_plain ON u (id)")
    base.write(_0001_a=f"{ALONE}REINDEX INDEX CONCURRENTLY u_plain")
    migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indrelid = 'u'::regclass") == 2


def test_another_partition_that_somebody_is_detaching_is_left_to_them(base: Database) -> None:
    base.execute(PARTED)
    base.write(_0001_a=f'{ALONE}ALTER TABLE "S".ev DETACH PARTITION "S".ev2 CONCURRENTLY')
    with reader(base, '"S".ev'), psycopg.connect(base.uri, autocommit=True) as other:
        other.execute("SET lock_timeout = 100")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute('ALTER TABLE "S".ev DETACH PARTITION "S"."Ev 1" CONCURRENTLY')
    with pytest.raises(migrator.errors.StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert caught.value.sqlstate == "55000"
    assert "FINALIZE" in caught.value.hint
