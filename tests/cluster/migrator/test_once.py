"""However many runners start, are killed or lose their connections: every migration is committed exactly once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable

import psycopg
import pytest

import migrator
from migrator.cli import main
from migrator.errors import Blocked, InvalidMigration, StatementFailed
from tests.cluster.loaded import PROCESSES
from tests.cluster.migrator.conftest import QUIET, Database

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

# No IF NOT EXISTS: what runs twice fails, or counts two.
FIRST = "CREATE TABLE counted (file int); INSERT INTO counted VALUES (1); SELECT pg_sleep(0.2)"
SECOND = "INSERT INTO counted VALUES (2); CREATE TABLE once ()"


def assert_once(base: Database) -> None:
    assert base.value("SELECT array_agg(file ORDER BY file) FROM counted") == [1, 2]
    assert base.value("SELECT count(*) FROM migrator.migrations WHERE applied_at IS NOT NULL") == 2


@pytest.mark.parametrize("count", [2, 5])
def test_runners_started_together_commit_once_and_all_succeed(count: int, base: Database) -> None:
    base.write(_0001_a=FIRST, _0002_b=SECOND)
    runners = [base.start() for _ in range(count)]
    assert [runner.end() for runner in runners] == [0] * count, "".join(each.log for each in runners)
    assert sorted(runner.words["outcome"] for runner in runners) == ["migrated"] + ["unchanged"] * (count - 1)
    assert_once(base)


# The third is resumed after its last statement that is recorded, so that statement must bear to run twice.
THIRD = "-- migrate: non-transactional\nCREATE INDEX CONCURRENTLY IF NOT EXISTS counted_file ON counted (file)"


def _migrate(uri: str, directory: str) -> None:
    environment = {"POSTGRES_URI": uri, "TERMINATION_LOG": os.devnull, "MIGRATE_LOCK_TIMEOUT": "0.5"}
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.exit(main(["migrate", "--directory", directory], environment))


@pytest.mark.parametrize("count", [2, 5, 20])
def test_runners_killed_at_random_commit_once(count: int, make_database: Callable[[], Database]) -> None:
    """ROUNDS=67 makes it 201 rounds."""
    for seed in range(int(os.environ.get("ROUNDS", "2"))):
        chance = random.Random(1000 * count + seed)
        base = make_database()
        base.write(_0001_a=FIRST, _0002_b=SECOND, _0003_c=THIRD)
        # Without a new interpreter each: twenty of those would take longer to start than to run.
        runners = [PROCESSES.Process(target=_migrate, args=(base.uri, str(base.directory))) for _ in range(count)]
        for runner in runners:
            runner.start()
        victims = chance.sample(runners, chance.randint(1, count - 1))
        for victim in victims:
            time.sleep(chance.uniform(0, 1.5 / len(victims)))
            assert victim.pid is not None
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.pid, chance.choice([signal.SIGKILL, signal.SIGTERM]))
        for runner in runners:
            runner.join(120)
        codes = {runner.exitcode for runner in runners if runner not in victims}
        assert codes == {0}, f"count {count}, seed {seed}: {codes}"
        assert migrator.run(base.uri, base.directory, QUIET).outcome == "unchanged"
        assert base.value("SELECT array_agg(file ORDER BY file) FROM counted") == [1, 2], f"count {count}, seed {seed}"
        assert base.value("SELECT count(*) FROM migrator.migrations WHERE applied_at IS NOT NULL") == 3
        assert base.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'counted_file'::regclass")


def test_a_runner_whose_lock_is_lost_still_commits_once(base: Database) -> None:
    base.write(_0001_a=FIRST.replace("pg_sleep(0.2)", "pg_advisory_xact_lock(82)"), _0002_b=SECOND)
    with psycopg.connect(base.uri) as holds_the_first:
        holds_the_first.execute("SELECT pg_advisory_xact_lock(82)")
        # Its own lock_timeout must not end what we hold up.
        first = base.start(MIGRATE_LOCK_TIMEOUT="60")
        first.wait_for("statement 3/3")
        base.value(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migrator-lock%%'"
            " AND datname = current_database()"
        )
        second = base.start()
        second.wait_for("another runner's transaction is still open")
    assert first.end() == 0, first.log
    assert second.end() == 0, second.log
    assert_once(base)


def test_a_non_transactional_file_is_never_run_by_two_though_the_first_has_lost_its_lock(base: Database) -> None:
    base.execute("CREATE TABLE counted (file int)")
    count = "DO $$BEGIN INSERT INTO counted VALUES ({}); PERFORM pg_advisory_xact_lock(82); END$$"
    base.write(_0001_a=f"-- migrate: non-transactional\n{count.format(1)};\n{count.format(2)}")
    with psycopg.connect(base.uri) as holds_the_first:
        holds_the_first.execute("SELECT pg_advisory_xact_lock(82)")
        first = base.start(MIGRATE_LOCK_TIMEOUT="60", MIGRATE_RUNNER="first")
        first.wait_for("statement 1/2")
        base.value(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migrator-lock%%'"
            " AND datname = current_database()"
        )
        second = base.start(MIGRATE_LOCK_TIMEOUT="60")
        second.wait_for("another runner's statement still runs")
    assert first.end() == 0, first.log
    assert second.end() == 0, second.log
    assert base.value("SELECT array_agg(file ORDER BY file) FROM counted") == [1, 2]
    assert base.value("SELECT done FROM migrator.migrations WHERE applied_at IS NOT NULL") == 2


def test_a_connection_lost_at_the_commit_does_not_apply_twice(base: Database) -> None:
    # Nobody knows whether a commit whose answer is lost has happened; the record does.
    base.write(_0001_a=FIRST, _0002_b=SECOND)
    killed = False

    def log(line: str) -> None:
        nonlocal killed
        if line == "commit" and not killed:
            killed = True
            base.value(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'migrator %%'"
            )

    assert migrator.run(base.uri, base.directory, QUIET, log).attempts == 2
    assert_once(base)


def test_a_runner_that_waits_too_long_names_the_other(base: Database) -> None:
    base.write(_0001_a="SELECT 1")
    with psycopg.connect(base.uri, autocommit=True, application_name="stuck") as other:
        other.execute("SELECT pg_advisory_lock(1835624306, 1)")
        with pytest.raises(Blocked) as caught:
            migrator.run(base.uri, base.directory, migrator.Settings(runner_budget=0.5))
    assert [each.application for each in caught.value.blockers] == ["stuck"]


INDEX = "-- migrate: non-transactional\nCREATE INDEX CONCURRENTLY t_a ON t (a);\nCREATE UNIQUE INDEX CONCURRENTLY t_b ON t (b);\nCREATE INDEX CONCURRENTLY t_c ON t (c)"


@pytest.fixture
def table(base: Database) -> Database:
    base.execute("CREATE TABLE t (a int, b int, c int); INSERT INTO t SELECT g, g, g FROM generate_series(1, 1000) g")
    return base


def test_concurrent_index_builds_do_not_deadlock_with_waiting_runners(table: Database) -> None:
    table.write(_0001_index=INDEX)
    runners = [table.start() for _ in range(3)]
    assert [runner.end() for runner in runners] == [0, 0, 0], "".join(each.log for each in runners)
    assert table.value("SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid") == 3


def test_an_interrupted_non_transactional_file_goes_on_where_it_stopped(table: Database) -> None:
    table.execute("INSERT INTO t VALUES (1, 1, 1)")  # t_b cannot be unique
    table.write(_0001_index=INDEX)
    said: list[str] = []
    with pytest.raises(StatementFailed) as caught:
        migrator.run(table.uri, table.directory, QUIET, said.append)
    assert (caught.value.line, caught.value.sqlstate) == (3, "23505")
    assert any("is non-transactional" in line for line in said)
    assert table.value("SELECT done FROM migrator.migrations") == 1

    table.execute("DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t)")
    said.clear()
    assert migrator.run(table.uri, table.directory, QUIET, said.append).applied == ("0001_index.sql",)
    assert any("resuming after statement 1/3" in line for line in said)
    assert any("dropping the invalid index public.t_b" in line for line in said)
    assert table.value("SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid") == 3


def test_an_interrupted_file_goes_on_with_the_settings_it_had_made(table: Database) -> None:
    table.execute("CREATE SCHEMA s; CREATE TABLE s.t (a int); INSERT INTO s.t VALUES (1), (1)")
    table.write(
        _0001_index="-- migrate: non-transactional\nSET search_path TO s;\nCREATE UNIQUE INDEX CONCURRENTLY t_a ON t (a)"
    )
    with pytest.raises(StatementFailed):
        migrator.run(table.uri, table.directory, QUIET)
    table.execute("DELETE FROM s.t")
    migrator.run(table.uri, table.directory, QUIET)
    assert table.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 's.t_a'::regclass")
    assert table.value("SELECT to_regclass('public.t_a') IS NULL")


@pytest.mark.parametrize("name", ["t_a", '"T a"', "T_A"])
def test_what_a_failed_index_leaves_in_its_table_s_schema_is_built_again(name: str, table: Database) -> None:
    table.execute('CREATE SCHEMA "S"; CREATE TABLE "S".t (a int); INSERT INTO "S".t VALUES (1), (1)')
    table.write(
        _0001_index=f'-- migrate: non-transactional\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {name} ON "S".t (a)'
    )
    with pytest.raises(StatementFailed):
        migrator.run(table.uri, table.directory, QUIET)
    table.execute('DELETE FROM "S".t')
    migrator.run(table.uri, table.directory, QUIET)
    assert table.value("SELECT array_agg(indisvalid) FROM pg_index WHERE indrelid = '\"S\".t'::regclass") == [True]


def test_an_invalid_index_of_the_same_name_on_another_table_is_left_alone(table: Database) -> None:
    table.execute("CREATE SCHEMA s; CREATE TABLE s.t (a int); INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        table.execute("CREATE UNIQUE INDEX CONCURRENTLY t_a ON t (a)")
    table.write(_0001_index="-- migrate: non-transactional\nCREATE INDEX CONCURRENTLY t_a ON s.t (a)")
    migrator.run(table.uri, table.directory, QUIET)
    assert table.value("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = 'public.t_a'::regclass")


def test_an_index_without_a_name_is_refused_before_anything_runs(table: Database) -> None:
    table.write(
        _0001_a="CREATE TABLE u (a int)",
        _0002_index="-- migrate: non-transactional\nCREATE INDEX CONCURRENTLY ON u (a)",
    )
    with pytest.raises(InvalidMigration, match="needs a name") as caught:
        migrator.run(table.uri, table.directory, QUIET)
    assert (caught.value.file, caught.value.line) == ("0002_index.sql", 2)
    assert table.value("SELECT to_regclass('u') IS NULL")


def test_an_interrupted_file_is_done_when_the_statement_that_failed_is_removed(table: Database) -> None:
    table.write(_0001_a="-- migrate: non-transactional\nCREATE TABLE u ();\nSELECT 1/0")
    with pytest.raises(StatementFailed):
        migrator.run(table.uri, table.directory, QUIET)
    table.write(_0001_a="-- migrate: non-transactional\nCREATE TABLE u ();")
    assert migrator.run(table.uri, table.directory, QUIET).applied == ("0001_a.sql",)
    assert migrator.run(table.uri, table.directory, QUIET).outcome == "unchanged"


def test_files_around_a_non_transactional_one_keep_their_order(table: Database) -> None:
    table.write(
        _0001_a="CREATE TABLE u (a int)",
        _0002_index="-- migrate: non-transactional\nCREATE INDEX CONCURRENTLY u_a ON u (a)",
        _0003_c="DROP INDEX u_a",
    )
    result = migrator.run(table.uri, table.directory, QUIET)
    assert result.applied == ("0001_a.sql", "0002_index.sql", "0003_c.sql")


def test_a_statement_that_needs_to_be_alone_gets_a_hint(table: Database) -> None:
    table.write(_0001_a="CREATE INDEX CONCURRENTLY t_a ON t (a)")
    with pytest.raises(StatementFailed) as caught:
        migrator.run(table.uri, table.directory, QUIET)
    assert caught.value.sqlstate == "25001"
    assert "non-transactional" in caught.value.hint
