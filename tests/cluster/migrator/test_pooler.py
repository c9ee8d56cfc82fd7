"""Through PgBouncer in transaction mode: once, without deadlock, and with nothing left in sessions of others."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

import migrator
from migrator import cleanup
from migrator.errors import InvalidMigration, StatementFailed, Terminated
from tests.cluster.migrator.conftest import QUIET, Database, assert_clean

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


def test_runners_behind_a_pooler_commit_once_and_leave_no_settings_and_no_lock(base: Database, pooled: str) -> None:
    base.write(
        _0001_a="SET test.own = 'x'; CREATE TABLE counted (a int); INSERT INTO counted VALUES (1); SELECT pg_sleep(0.3)",
        _0002_b="-- migrate: non-transactional\nCREATE INDEX CONCURRENTLY counted_a ON counted (a)",
        _0003_c="INSERT INTO counted VALUES (2)",
    )
    runners = [base.start(POSTGRES_URI=pooled) for _ in range(3)]
    assert [runner.end() for runner in runners] == [0, 0, 0], "".join(each.log for each in runners)
    assert any("a connection pooler is in between" in runner.log for runner in runners)
    assert base.value("SELECT array_agg(a ORDER BY a) FROM counted") == [1, 2]
    assert base.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'counted_a'::regclass")
    held = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1835624306"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    assert base.value(held) == 0
    with contextlib.ExitStack() as stack:
        for _ in range(8):  # at once, and so in every session that the pooler has
            connection = stack.enter_context(psycopg.connect(pooled))
            row = connection.execute(
                "SELECT current_setting('lock_timeout'), coalesce(current_setting('test.own', true), '')"
            ).fetchone()
            assert row == ("0", "")


def test_a_setting_that_would_stay_with_somebody_else_s_session_is_refused(base: Database, pooled: str) -> None:
    base.write(_0001_a="-- migrate: non-transactional\nSELECT 1;\nSET search_path TO s;\nSELECT 2")
    with pytest.raises(InvalidMigration, match="line 3: behind a pooler") as caught:
        migrator.run(pooled, base.directory, QUIET)
    assert caught.value.file == "0001_a.sql"
    assert base.value("SELECT to_regclass('migrator.migrations') IS NULL")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT set_config('search_path', 's', false)",
        "CREATE TEMP TABLE x ()",
        "SELECT 1 AS a INTO TEMP x",
        "PREPARE p AS SELECT 1",
        "LISTEN x",
        "SELECT pg_advisory_lock(1)",
        "DO $$BEGIN PERFORM set_config('search_path', 's', false); END$$",
        "SELECT currval('s')",
    ],
)
def test_so_is_whatever_else_only_one_session_would_have(statement: str, base: Database, pooled: str) -> None:
    base.write(_0001_a=f"-- migrate: non-transactional\nCREATE SEQUENCE s;\n{statement};\nSELECT 2")
    with pytest.raises(InvalidMigration, match="line 3: behind a pooler"):
        migrator.run(pooled, base.directory, QUIET)


def test_what_a_statement_outside_of_a_transaction_leaves_unseen_is_gone_from_every_session(
    base: Database, pooled: str
) -> None:
    base.execute("CREATE SCHEMA s; CREATE TABLE t (a int)")
    base.execute(
        "CREATE PROCEDURE leave() LANGUAGE plpgsql AS $$BEGIN INSERT INTO t VALUES (1); COMMIT; CREATE TEMP TABLE rate (); "
        "PERFORM set_config('search_path', 's', false), pg_advisory_lock(77); END$$"
    )
    base.write(
        _0001_a="-- migrate: non-transactional\nCALL leave()",
        _0002_b="-- migrate: non-transactional\nVACUUM t;\nCREATE INDEX CONCURRENTLY t_a ON t (a)",
    )
    assert migrator.run(pooled, base.directory, QUIET).outcome == "migrated"
    assert base.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 't_a'::regclass")
    assert_clean(pooled)


def test_a_file_that_fails_leaves_nothing_behind_a_pooler_either(base: Database, pooled: str) -> None:
    base.write(
        _0001_a="SET search_path TO x; PREPARE p AS SELECT 1; SELECT pg_advisory_lock(77); CREATE TEMP TABLE rate ();"
        "CREATE SEQUENCE s; SELECT nextval('s'); SELECT 1/0"
    )
    with pytest.raises(StatementFailed):
        migrator.run(pooled, base.directory, QUIET)
    assert_clean(pooled)


def test_what_an_application_s_driver_has_prepared_through_the_pooler_is_left_alone(
    base: Database, pooled: str
) -> None:
    with psycopg.connect(base.uri, autocommit=True) as connection:
        connection.execute("SELECT 1", prepare=True)
        connection.execute("PREPARE p AS SELECT 2")
        cleanup.clean(connection)
        assert connection.execute(
            "SELECT count(*) FILTER (WHERE from_sql), count(*) FROM pg_prepared_statements"
        ).fetchone() == (
            0,
            1,
        )


def test_a_signal_while_a_statement_is_being_sent_cancels_it_all_the_same(
    base: Database, pooled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psycopg cancels what it waits for; between two commands of a pipeline it waits for nothing, and then for all of them."""

    def interrupted() -> Iterator[str]:
        raise Terminated("SIGTERM")
        yield ""

    base.write(_0001_a="-- migrate: non-transactional\nDO $$BEGIN COMMIT; PERFORM pg_sleep(200); END$$")
    monkeypatch.setattr(cleanup, "COMMANDS", Iterated(interrupted))
    began = time.monotonic()
    with pytest.raises(Terminated):
        migrator.run(pooled, base.directory, QUIET)
    assert time.monotonic() - began < 30
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE strpos(query, 'pg_sleep(200)') > 0 AND pid <> pg_backend_pid() AND state = 'active'"
    assert base.value(sleeping) == 0


class Iterated:
    """Commands that are another each time they are asked for: the first time those of a function."""

    def __init__(self, first: Callable[[], Iterator[str]]) -> None:
        self._first: Callable[[], Iterator[str]] | None = first
        self._others = cleanup.COMMANDS

    def __iter__(self) -> Iterator[str]:
        first, self._first = self._first, None
        return first() if first else iter(self._others)


def test_a_statement_outside_of_a_transaction_is_cancelled_through_the_pooler(base: Database, pooled: str) -> None:
    base.write(_0001_a="-- migrate: non-transactional\nSELECT 1;\nDO $$BEGIN COMMIT; PERFORM pg_sleep(200); END$$")
    runner = base.start(POSTGRES_URI=pooled)
    runner.wait_for("statement 2/2")
    runner.process.send_signal(signal.SIGTERM)
    assert runner.end(60) == 128 + signal.SIGTERM
    assert (runner.words["file"], runner.words["line"]) == ("0001_a.sql", 3)
    assert base.value("SELECT done FROM migrator.migrations") == 1


HIDDEN = """
    CREATE SCHEMA s; CREATE TABLE s.t (a int); CREATE TABLE public.t (a int);
    CREATE FUNCTION sets() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('search_path', 's', false); END$$;
    CREATE FUNCTION enters() RETURNS void LANGUAGE plpgsql AS $$BEGIN SET search_path = s; END$$;
    CREATE FUNCTION makes() RETURNS void LANGUAGE plpgsql AS $$BEGIN CREATE TEMP TABLE t (a int); END$$;
    CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$BEGIN PERFORM sets(); COMMIT; PERFORM 1; END$$;
    CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('search_path', 's', false); RETURN NEW; END$$;
    CREATE TABLE fires (a int); CREATE TRIGGER fires BEFORE INSERT ON fires FOR EACH ROW EXECUTE FUNCTION on_row();
    CREATE TABLE guarded (a int); INSERT INTO guarded VALUES (0)
"""
SETS = [
    "SELECT sets()",
    "SELECT enters()",
    "WITH x AS MATERIALIZED (SELECT sets()) SELECT * FROM x",
    "CALL commits()",
    "INSERT INTO fires VALUES (1)",
    "CREATE TABLE made AS SELECT 1 AS a, sets()::text",
    "DO $$BEGIN EXECUTE 'SET search_path TO s'; END$$",
    "DO $$BEGIN EXECUTE format('SET %I TO s', 'search_path'); COMMIT; END$$",
    "SELECT makes()",
]


@pytest.mark.parametrize("sets", SETS)
def test_what_a_function_or_execute_sets_for_the_next_statement_is_not_gone_without_a_word(
    sets: str, base: Database, pooled: str
) -> None:
    base.execute(HIDDEN)
    base.write(_0001_a=f"-- migrate: non-transactional\n{sets};\nINSERT INTO t VALUES (1)")
    for _ in range(2):  # nor the next time
        with pytest.raises(InvalidMigration, match="which a function or EXECUTE has left in another session") as caught:
            migrator.run(pooled, base.directory, QUIET)
        assert caught.value.line == 2
    with pytest.raises(InvalidMigration):  # nor without the pooler
        migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT (SELECT count(*) FROM public.t) + (SELECT count(*) FROM s.t)") == 0
    assert_clean(pooled)
    # As the hint has it.
    base.write(_0001_a=f"-- migrate: non-transactional\n{sets}", _0002_b="INSERT INTO t VALUES (1)")
    assert len(migrator.run(pooled, base.directory, QUIET).applied) == 2
    assert base.value("SELECT count(*) FROM public.t") == 1


@pytest.mark.parametrize("sets", SETS)
def test_nor_when_the_file_is_resumed(sets: str, base: Database) -> None:
    base.execute(HIDDEN)
    fails = "ALTER TABLE public.guarded ADD CHECK (a > 0)"
    base.write(_0001_a=f"-- migrate: non-transactional\nSELECT 1;\n{sets};\n{fails};\nINSERT INTO t VALUES (1)")
    with pytest.raises(StatementFailed):
        migrator.run(base.uri, base.directory, QUIET)
    base.execute("DELETE FROM guarded")
    with pytest.raises(InvalidMigration):
        migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT (SELECT count(*) FROM public.t) + (SELECT count(*) FROM s.t)") == 0


def test_without_an_interruption_it_is_as_it_was(base: Database) -> None:
    base.execute(HIDDEN)
    base.write(
        _0001_a="-- migrate: non-transactional\nSELECT sets();\nINSERT INTO t VALUES (1);\nSET search_path TO public;\nSELECT 1"
    )
    assert migrator.run(base.uri, base.directory, QUIET).outcome == "migrated"
    assert base.value("SELECT count(*) FROM s.t") == 1


def test_what_is_set_for_its_own_transaction_or_function_hinders_nothing(base: Database, pooled: str) -> None:
    base.execute("CREATE SCHEMA s; CREATE TABLE t (a int)")
    base.execute("CREATE FUNCTION own() RETURNS int LANGUAGE sql SET search_path = s AS 'SELECT 1'")
    base.execute("CREATE FUNCTION local() RETURNS text LANGUAGE sql AS $$SELECT set_config('search_path', 's', true)$$")
    text = "-- migrate: non-transactional\nSELECT own();\nSELECT local();\nDO $$BEGIN SET LOCAL search_path = s; END$$;\nINSERT INTO t VALUES (1);\nVACUUM t"
    base.write(_0001_a=text)
    with psycopg.connect(
        pooled, autocommit=True
    ) as other:  # and has left something in the session that the pooler gives next
        other.execute("SET work_mem = '7MB'")
    assert migrator.run(pooled, base.directory, QUIET).outcome == "migrated"
