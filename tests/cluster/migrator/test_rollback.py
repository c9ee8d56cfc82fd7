"""A failed migration leaves the database as it was: at every statement of every file, and whatever ends it."""

from __future__ import annotations

import re
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import migrator
from devkit.sample.versions import VERSIONS, Version
from migrator import files
from migrator.errors import Blocked, HistoryMismatch, StatementFailed
from tests.cluster.migrator.conftest import QUIET, Database, catalogue
from tests.cluster.migrator.test_fingerprint import take
from tests.cluster.stacks import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


def _quick(sql: str) -> str:
    return re.sub(r"pg_sleep\(\d+\)", "pg_sleep(0)", sql)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_failing_after_any_statement_of_a_sample_s_migration_leaves_the_catalogue_unchanged(
    version: Version, base: Database
) -> None:
    *before, own = version.directories
    for path in (path for directory in before for path in directory.iterdir()):
        (base.directory / path.name).write_text(_quick(path.read_text()))
    if before:
        migrator.run(base.uri, base.directory, QUIET)
    untouched, fingerprint = catalogue(base.uri), take(base.uri)
    points = 0
    for path in sorted(own.iterdir()):
        statements = files.parse(path.name, path.read_bytes()).statements
        for count in range(len(statements) + 1):
            broken = [_quick(each.text) for each in statements[:count]] + ["SELECT no_such_column"]
            (base.directory / path.name).write_text(";\n".join(broken))
            with pytest.raises(StatementFailed):
                migrator.run(base.uri, base.directory, QUIET)
            assert catalogue(base.uri) == untouched, f"{path.name} left something after {count} statements"
            assert take(base.uri).digest == fingerprint.digest
            points += 1
    assert points > 0


def test_a_failure_in_a_later_file_takes_the_earlier_ones_back(base: Database) -> None:
    base.write(_0001_a="CREATE TABLE a ()", _0002_b="CREATE TABLE b ();\n\nSELECT 1/0;\n")
    untouched = catalogue(base.uri)
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert catalogue(base.uri) == untouched
    error = caught.value
    assert (error.file, error.line, error.sqlstate, error.statement) == ("0002_b.sql", 3, "22012", "SELECT 1/0")


def test_an_error_inside_of_a_long_statement_is_told_with_its_own_line(base: Database) -> None:
    base.write(_0001_a="SELECT 1,\n  2,\n  no_such_column\nFROM pg_class")
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (); SET LOCAL standard_conforming_strings = off; SELECT 'a\\', '; COMMIT; SELECT ' ' --'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1 AS case; END; COMMIT; CREATE TABLE a ()",
    ],
)
def test_what_the_server_takes_for_several_statements_commits_nothing(sql: str, base: Database) -> None:
    base.write(_0001_a=sql)
    untouched = catalogue(base.uri)
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert caught.value.sqlstate == "42601"
    assert "several statements" in caught.value.hint
    assert catalogue(base.uri) == untouched


def test_statements_reach_the_server_as_they_are_written(base: Database) -> None:
    base.write(_0001_a="CREATE TABLE a AS SELECT '%s %% %'::text AS t, 7 % 4 AS n; SELECT relacl FROM pg_class; SELECT")
    migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT t || n FROM a") == "%s %% %3"


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SQL_ASCII"])
def test_files_are_utf_8_whatever_the_database_is_encoded_in(
    encoding: str, make_database: Callable[..., Database]
) -> None:
    base = make_database(encoding)
    base.write(_0001_a="CREATE TABLE \"é\" AS SELECT 'é'::text AS a")
    assert migrator.run(base.uri, base.directory, QUIET).outcome == "migrated"
    assert migrator.run(base.uri, base.directory, QUIET).outcome == "unchanged"
    with psycopg.connect(base.uri, client_encoding="UTF8") as connection:
        assert connection.execute('SELECT a FROM "é"'.encode()).fetchone() == ("é",)


def test_a_character_that_the_database_cannot_hold_is_told(make_database: Callable[..., Database]) -> None:
    base = make_database("LATIN1")
    base.write(_0001_a="SELECT 1;\nSELECT '€'")
    with pytest.raises(StatementFailed, match="LATIN1") as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert (caught.value.line, caught.value.sqlstate) == (2, "22P05")


def test_a_parameter_that_nothing_fills_in_is_told_at_once(base: Database) -> None:
    base.write(_0001_a="SELECT $1::int")
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, migrator.Settings(retry_budget=0))
    assert "$1" in caught.value.hint


def test_a_file_cannot_go_back_to_a_savepoint_of_an_earlier_one(base: Database) -> None:
    base.write(
        _0001_a="SAVEPOINT a; CREATE TABLE a (); SAVEPOINT b; CREATE TABLE b (); ROLLBACK TO SAVEPOINT b",
        _0002_b="ROLLBACK TO SAVEPOINT a; CREATE TABLE c ()",
    )
    untouched = catalogue(base.uri)
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert (caught.value.file, caught.value.sqlstate) == ("0002_b.sql", "3B001")
    assert catalogue(base.uri) == untouched


def test_a_file_may_go_back_to_a_savepoint_of_its_own(base: Database) -> None:
    base.write(
        _0001_a="CREATE TABLE a (); SAVEPOINT a; CREATE TABLE b (); ROLLBACK TO SAVEPOINT a",
        _0002_b="CREATE TABLE c ()",
    )
    migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT to_regclass('a') IS NOT NULL AND to_regclass('b') IS NULL")
    assert base.value("SELECT count(*) FROM migrator.migrations") == 2


def test_a_deferred_constraint_takes_everything_back_and_the_file_that_violates_it_is_named(base: Database) -> None:
    base.write(
        _0001_a="CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO a VALUES (1, 2)",
        _0002_b="INSERT INTO a VALUES (2, 2)",
    )
    untouched = catalogue(base.uri)
    with pytest.raises(StatementFailed, match="deferred to the end of the file") as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert (caught.value.file, caught.value.sqlstate) == ("0001_a.sql", "23503")
    assert catalogue(base.uri) == untouched


def test_sigterm_rolls_back_and_says_so(base: Database) -> None:
    base.write(_0001_a="CREATE TABLE a (); SELECT pg_sleep(60)")
    untouched = catalogue(base.uri)
    runner = base.start()
    runner.wait_for("statement 2/2")
    runner.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert runner.end() == 128 + signal.SIGTERM
    assert time.monotonic() - began < 30  # the statement takes 60
    assert "SIGTERM: rolled back 0001_a.sql; the database is as it was" in runner.log
    assert runner.words["outcome"] == "terminated"
    assert catalogue(base.uri) == untouched
    assert (
        base.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%%'"
        )
        == 0
    )


def test_a_killed_runner_s_statement_ends_soon_and_holds_nothing(base: Database) -> None:
    base.write(_0001_a="CREATE TABLE a (); SELECT pg_sleep(60)")
    untouched = catalogue(base.uri)
    runner = base.start()
    runner.wait_for("statement 2/2")
    runner.process.kill()
    base.write(_0001_a="CREATE TABLE a ()")
    result = migrator.run(base.uri, base.directory, QUIET)  # waits for the lock, not for the 60 s
    assert result.outcome == "migrated"
    assert result.seconds < 30
    assert catalogue(base.uri) != untouched


def test_a_statement_that_takes_too_long_is_ended_with_a_hint(base: Database) -> None:
    base.write(_0001_a="CREATE TABLE a (); SELECT pg_sleep(60)")
    untouched = catalogue(base.uri)
    settings = migrator.Settings(statement_timeout=0.3)
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, settings)
    assert caught.value.sqlstate == "57014"
    assert "MIGRATE_STATEMENT_TIMEOUT" in caught.value.hint
    assert catalogue(base.uri) == untouched


def test_a_blocked_run_names_who_blocks_it_and_leaves_no_trace(base: Database) -> None:
    base.execute("CREATE TABLE a ()")
    base.write(_0001_a="CREATE TABLE b (); ALTER TABLE a ADD COLUMN x int")
    untouched = catalogue(base.uri)
    with psycopg.connect(base.uri, application_name="night report") as blocker:
        blocker.execute("SELECT FROM a")
        settings = migrator.Settings(lock_timeout=0.3, retry_budget=1.5)
        with pytest.raises(Blocked) as caught:
            migrator.run(base.uri, base.directory, settings)
        error = caught.value
        assert (error.sqlstate, error.file, error.line) == ("55P03", "0001_a.sql", 1)
        (named,) = error.blockers
        assert named.pid == blocker.info.backend_pid
        assert (named.application, named.query) == ("night report", "SELECT FROM a")
        assert named.state == "idle in transaction"
        assert named.since.endswith("Z")
        assert str(named.pid) in error.message
        assert catalogue(base.uri) == untouched


def test_a_run_blocked_for_a_while_succeeds_once_the_blocker_is_gone(base: Database) -> None:
    base.execute("CREATE TABLE a ()")
    base.write(_0001_a="ALTER TABLE a ADD COLUMN x int")
    with psycopg.connect(base.uri) as blocker:
        blocker.execute("SELECT FROM a")
        runner = base.start()
        runner.wait_for("trying again")
    assert runner.end() == 0
    assert runner.words["attempts"] > 1


def test_a_connection_lost_in_mid_run_is_tried_again(base: Database) -> None:
    base.write(_0001_a="CREATE TABLE a (); SELECT pg_sleep(5)")
    runner = base.start()
    runner.wait_for("statement 2/2")
    lost = (  # it is said before it is sent
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%%'"
    )
    wait_for("the statement", lambda: base.value(lost))
    assert runner.end() == 0
    assert runner.words["attempts"] == 2
    assert base.value("SELECT count(*) FROM migrator.migrations") == 1


def test_a_failure_of_its_own_is_not_tried_again(base: Database) -> None:
    base.write(_0001_a="SELECT 1/0")
    runner = base.start("--json")
    assert runner.end() == 1
    assert "trying again" not in runner.log
    assert "migrate: ERROR 0001_a.sql line 1: SQLSTATE 22012: division by zero" in runner.log
    expected = {"outcome": "failed", "file": "0001_a.sql", "line": 1, "sqlstate": "22012", "statement": "SELECT 1/0"}
    assert expected.items() <= runner.words.items()


# A sequence keeps what it has counted through a rollback.
RAISES = "DO $$BEGIN IF nextval('tries') < 3 THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF; END$$"


@pytest.mark.parametrize("code", ["55P03", "40P01", "40001", "57P01", "08006"])
def test_what_passes_by_itself_is_tried_again(code: str, base: Database) -> None:
    base.execute("CREATE SEQUENCE tries")
    base.write(_0001_a=RAISES.format(code=code))
    assert migrator.run(base.uri, base.directory, QUIET).attempts == 3


@pytest.mark.parametrize("code", ["57014", "57P02", "53100", "53300", "23505", "42P07", "XX000", "P0001"])
def test_nothing_else_is_tried_again(code: str, base: Database) -> None:
    base.execute("CREATE SEQUENCE tries")
    base.write(_0001_a=RAISES.format(code=code))
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert caught.value.sqlstate == code
    assert base.value("SELECT last_value FROM tries") == 1


def test_what_one_file_sets_for_itself_does_not_reach_the_next(base: Database) -> None:
    base.write(
        _0001_a="CREATE SCHEMA s; SET search_path TO s; SET LOCAL lock_timeout = 0; CREATE TABLE a ()",
        _0002_b="CREATE TABLE b AS SELECT current_setting('lock_timeout') AS lock_timeout",
    )
    migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT to_regclass('s.a') IS NOT NULL AND to_regclass('public.b') IS NOT NULL")
    assert base.value("SELECT lock_timeout FROM b") == "500ms"


def test_nothing_that_one_file_sets_reaches_the_next(base: Database) -> None:
    base.write(
        _0001_a="SET test.own = 'x'; SET DateStyle = 'German'; SET SESSION client_encoding = 'LATIN1'",
        _0002_b="CREATE TABLE b AS SELECT 'é'::text AS e, coalesce(current_setting('test.own', true), '') AS own,"
        " current_setting('DateStyle') AS style",
        _0003_c="-- migrate: non-transactional\nSET test.own = 'x';\nSET default_transaction_read_only = on",
        _0004_d="-- migrate: non-transactional\nCREATE TABLE d AS SELECT current_setting('test.own', true) AS own",
    )
    migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT e || own FROM b") == "é"
    assert base.value("SELECT style = current_setting('DateStyle') FROM b")
    assert not base.value("SELECT own FROM d")


@pytest.fixture
def role(server: str) -> Iterator[str]:
    name = f"migrator_test_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        try:
            connection.execute(f"CREATE ROLE {name}; GRANT {name} TO CURRENT_USER".encode())
        except psycopg.errors.InsufficientPrivilege:
            pytest.skip("this server's role may not create the role to test with")
        yield name
        connection.execute(f"DROP ROLE {name}".encode())


@pytest.mark.parametrize("marker", ["", "-- migrate: non-transactional\n"])
def test_a_file_s_role_owns_what_it_makes_and_neither_the_record_nor_the_next_file(
    role: str, marker: str, base: Database
) -> None:
    base.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
    base.write(
        _0001_a=f"{marker}SET ROLE {role};\nCREATE TABLE a ();\nCREATE TABLE b ()", _0002_c=f"{marker}CREATE TABLE c ()"
    )
    migrator.run(base.uri, base.directory, QUIET)
    owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = %s::regclass"
    assert [base.value(owner, table) for table in ("a", "b")] == [role, role]
    assert base.value(owner, "c") == base.value("SELECT current_user")


def test_a_changed_file_is_refused_and_nothing_is_run(base: Database) -> None:
    base.write(_0001_a="CREATE TABLE a ()")
    migrator.run(base.uri, base.directory, QUIET)
    base.write(_0001_a="CREATE TABLE a (x int)", _0002_b="CREATE TABLE b ()")
    with pytest.raises(HistoryMismatch):
        migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT to_regclass('b')") is None


def test_an_older_image_on_a_newer_database_is_content(base: Database, tmp_path: Path) -> None:
    base.write(_0001_a="CREATE TABLE a ()", _0002_b="CREATE TABLE b ()")
    migrator.run(base.uri, base.directory, QUIET)
    (base.directory / "0002_b.sql").unlink()
    said: list[str] = []
    result = migrator.run(base.uri, base.directory, QUIET, said.append)
    assert result.outcome == "unchanged"
    assert result.ahead == ("0002_b.sql",)
    assert "ahead" in said[-1]


@pytest.fixture
def up_to_date(base: Database) -> Database:
    base.write(**{f"_{number:04}_x": "SELECT 1" for number in range(1, 51)})
    migrator.run(base.uri, base.directory, QUIET)
    return base


def test_nothing_pending_takes_no_lock(up_to_date: Database) -> None:
    with psycopg.connect(up_to_date.uri, autocommit=True) as holder:
        # With the runners' lock taken by somebody else a run that wanted it would wait.
        holder.execute("SELECT pg_advisory_lock(1835624306, 1)")
        settings = migrator.Settings(runner_budget=0)
        assert migrator.run(up_to_date.uri, up_to_date.directory, settings).outcome == "unchanged"


@pytest.mark.measures
def test_nothing_pending_takes_less_than_50_ms(up_to_date: Database) -> None:
    seconds = [migrator.run(up_to_date.uri, up_to_date.directory, QUIET).seconds for _ in range(15)]
    assert min(seconds) < 0.05, seconds
