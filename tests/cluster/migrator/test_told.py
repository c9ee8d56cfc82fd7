"""What a run says: no secret, each warning, who is in the way, why it cannot go on, and where it was when it was ended."""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import migrator
from migrator.cli import main
from migrator.errors import Blocked, DatabaseUnavailable, StatementFailed
from tests.cluster.migrator.conftest import QUIET, Database, needs_roles
from tests.cluster.private_postgres import PrivatePostgres

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

SECRET = "correct-horse-9"
# Those that succeed, those that fail, and those that fail with what they quote; `{role}` stands for a role of the test's own.
SECRETS = [
    f"CREATE ROLE {{role}} LOGIN PASSWORD '{SECRET}'; DROP ROLE {{role}}",
    f"CREATE ROLE {{role}} PASSWORD '{SECRET}'; CREATE USER {{role}} PASSWORD E'{SECRET}'",
    f"ALTER ROLE nobody_of_that_name PASSWORD $${SECRET}$$",
    f'ALTER ROLE nobody_of_that_name PASSWORD "{SECRET}"',
    f"ALTER ROLE nobody_of_that_name PASSWORD {SECRET}",
    f"DO $$BEGIN EXECUTE 'ALTER ROLE nobody_of_that_name PASSWORD ''{SECRET}'''; END$$",
    f"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'ALTER ROLE no_name PASSWORD ''{SECRET}'''; END$$; SELECT f()",
    f"CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1 password={SECRET}' PUBLICATION p",
    f"CREATE SUBSCRIPTION s CONNECTION '{SECRET}' PUBLICATION p",
    f"CREATE SUBSCRIPTION s CONNECTION 'postgresql://me:x@{SECRET}@127.0.0.1/{SECRET}' PUBLICATION p",
    f"CREATE SERVER s FOREIGN DATA WRAPPER no_wrapper OPTIONS (password '{SECRET}')",
    f"CREATE USER MAPPING FOR CURRENT_USER SERVER no_server OPTIONS (user 'me', password '{SECRET}')",
    f"SELECT dblink_connect('password={SECRET}')",
    f"SELECT pgp_sym_encrypt('x', '{SECRET}')",
    f"SELECT '{SECRET}'::int",
    f"SELECT '{{{{\"token\": {SECRET}}}}}'::json",
    f"CREATE TABLE t (id int, token text CHECK (length(token) < 3)); INSERT INTO t VALUES (1, '{SECRET}')",
    f"CREATE TABLE t (token text PRIMARY KEY); INSERT INTO t VALUES ('{SECRET}'), ('{SECRET}')",
    f"COPY (SELECT 1) TO PROGRAM 'false --token={SECRET}'",
    f"SELECT set_config('no_such_setting', '{SECRET}', false)",
    f"SELECT set_config('work_mem', '{SECRET}', false)",
    f"CREATE FUNCTION f(text) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'bad token %', $1; END$$; SELECT f('{SECRET}')",
    f"CREATE FUNCTION f(text) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'token %', $1; END$$; SELECT f('{SECRET}')",
    f"CREATE TABLE t (a text UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES ('{SECRET}'), ('{SECRET}')",
    f"ROLLBACK; SELECT '{SECRET}'",
    f"COPY t FROM STDIN; SELECT '{SECRET}'",
]


# What fails on rows that are there, which no file has in it; and what makes a secret of other strings.
ROWS = f"""
    CREATE TABLE given (id int PRIMARY KEY, token text, note text); INSERT INTO given VALUES (1, '{SECRET}'), (2, '{SECRET}');
    CREATE TABLE other (token text); CREATE TABLE parted (token text) PARTITION BY LIST (token);
    CREATE FUNCTION cast_all() RETURNS int LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN SELECT token INTO n FROM given; RETURN n; END $$;
    CREATE TYPE mood AS ENUM ('fine'); CREATE TABLE js (id int)
"""
ON_ROWS = [
    "CREATE UNIQUE INDEX u ON given (token)",
    "ALTER TABLE given ALTER note SET NOT NULL; UPDATE given SET note = NULL",
    "ALTER TABLE given ADD CHECK (token <> note); UPDATE given SET note = token",
    "UPDATE given SET id = 1",
    "ALTER TABLE given ALTER token TYPE int USING token::int",
    "ALTER TABLE given ALTER token TYPE mood USING token::mood",
    "ALTER TABLE given ALTER token TYPE jsonb USING token::jsonb",
    "SELECT token::timestamptz FROM given",
    "SELECT cast_all()",
    "DO $$ BEGIN PERFORM token::uuid FROM given; END $$",
    "INSERT INTO parted SELECT token FROM given",
    "ALTER TABLE other ADD PRIMARY KEY (token); ALTER TABLE given ADD FOREIGN KEY (token) REFERENCES other",
    "ALTER TABLE given ADD EXCLUDE USING gist (int4range(1, 5) WITH &&, numrange(0, length(token)) WITH &&)",
    "SELECT to_date(token, 'YYYY') FROM given",
    "SELECT jsonb_path_query(to_jsonb(token), token::jsonpath) FROM given",
    f"SELECT ('{SECRET[:8]}' || '{SECRET[8:]}')::regclass",
    f"SELECT U&'\\0063{SECRET[1:]}'::regclass",
    f"SELECT encode(decode('{SECRET.encode().hex()}', 'hex'), 'escape')::regtype",
    f"SET app.key = \"{SECRET}\"; SELECT current_setting('app.key')::regrole",
    "SET app.key = correct; SELECT current_setting('app.key')::regrole",
    "SELECT set_config('work_mem', token, true) FROM given",
]


@pytest.mark.parametrize("marker", ["", "-- migrate: non-transactional\n"])
@pytest.mark.parametrize("sql", ON_ROWS)
def test_nothing_of_what_is_in_rows_is_printed_anywhere(
    sql: str, marker: str, base: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    base.execute(ROWS)
    words = base.directory.parent / "words"
    base.write(_0001_a=marker + sql)
    environment = {"POSTGRES_URI": base.uri, "TERMINATION_LOG": str(words)}
    assert main(["migrate", "--directory", str(base.directory), "--json"], environment) == 1
    said = "".join(capfd.readouterr()) + words.read_text()
    for part in ("correct", "horse", "9)"):
        assert part not in said.replace("statement 9", "")


@pytest.mark.parametrize("marker", ["", "-- migrate: non-transactional\n"])
@pytest.mark.parametrize("sql", SECRETS)
def test_no_string_of_a_file_is_printed_anywhere(
    sql: str, marker: str, base: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    words = base.directory.parent / "words"
    base.write(_0001_a=marker + sql.replace("{role}", f"migrator_test_{secrets.token_hex(4)}").replace("{{", "{"))
    environment = {"POSTGRES_URI": base.uri, "TERMINATION_LOG": str(words), "MIGRATE_STATEMENT_TIMEOUT": "5"}
    said = ""
    for command in ("plan", "migrate", "status"):
        main([command, "--directory", str(base.directory), "--json"], environment)
        said += "".join(capfd.readouterr()) + words.read_text()
    assert SECRET not in said
    for part in ("correct-", "horse"):
        assert part not in said


def test_what_somebody_in_the_way_was_running_is_named_without_its_strings(base: Database) -> None:
    base.execute("CREATE TABLE a (token text)")
    base.write(_0001_a="ALTER TABLE a ADD COLUMN b int")
    with psycopg.connect(base.uri) as blocker:
        blocker.execute(f"INSERT INTO a VALUES ('{SECRET}')".encode())
        with pytest.raises(Blocked) as caught:
            migrator.run(base.uri, base.directory, migrator.Settings(lock_timeout=0.3, retry_budget=0.5))
    assert caught.value.blockers[0].query == "INSERT INTO a VALUES ('…')"
    assert SECRET not in caught.value.message


def test_warnings_and_notices_are_logged(base: Database) -> None:
    # https://github.com/golang-migrate/migrate/issues/1064
    base.write(
        _0001_a="DO $$BEGIN RAISE WARNING 'seven rows have no owner'; END$$; CREATE TABLE a (); CREATE VIEW v AS SELECT FROM a;"
        "DROP TABLE a CASCADE"
    )
    said: list[str] = []
    migrator.run(base.uri, base.directory, QUIET, said.append)
    assert "WARNING: seven rows have no owner" in said
    assert "NOTICE: drop cascades to view v" in said


def test_a_flood_of_notices_drowns_neither_the_log_nor_a_warning(base: Database) -> None:
    flood = "FOR i IN 1..5000 LOOP RAISE NOTICE 'row %', i; END LOOP"
    base.write(_0001_a=f"DO $$BEGIN {flood}; RAISE WARNING 'seven rows have no owner'; END$$")
    said: list[str] = []
    migrator.run(base.uri, base.directory, QUIET, said.append)
    assert "WARNING: seven rows have no owner" in said
    assert 20 < len(said) < 60
    assert any("more messages of the server were not logged" in line for line in said)


def test_thousands_of_statements_are_a_line_a_second(base: Database) -> None:
    base.write(_0001_a="CREATE TABLE a (id int);" + "INSERT INTO a VALUES (1);\n" * 3000)
    said: list[str] = []
    result = migrator.run(base.uri, base.directory, QUIET, said.append)
    assert len(said) < 30 + result.seconds
    assert base.value("SELECT count(*) FROM a") == 3000


def test_a_statement_that_hangs_among_many_is_named(base: Database) -> None:
    base.write(_0001_a="SELECT 1;" * 100 + "SELECT pg_sleep(60)")
    runner = base.start()
    runner.wait_for("statement 101/101")
    runner.process.kill()


def test_a_prepared_transaction_in_the_way_is_named_with_what_ends_it(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("ALTER TABLE a ADD COLUMN b int")
    with PrivatePostgres(host="127.0.0.1") as server:
        server.configure("max_prepared_transactions = 2")
        uri = server.uri("postgres")
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("CREATE TABLE a ()")
            connection.execute("BEGIN; LOCK TABLE a IN ACCESS SHARE MODE; PREPARE TRANSACTION 'o''clock'")
        impatient = migrator.Settings(lock_timeout=0.3, retry_budget=0.5)
        for _ in range(2):
            with pytest.raises(Blocked) as caught:
                migrator.run(uri, tmp_path, impatient)
            (found,) = caught.value.blockers
            assert (found.pid, found.gid, found.state) == (0, "o'clock", "prepared transaction")
            assert 'prepared transaction "o\'clock"' in caught.value.message
            assert "ROLLBACK PREPARED 'o''clock'" in caught.value.hint
            assert "pg_terminate_backend" not in caught.value.hint
            server.configure("")  # it outlives the server, too


@pytest.fixture
def limited(server: str, base: Database) -> Iterator[str]:
    """A connection string of a role that may create nothing in the database but in schemas of its own."""
    name, password = f"migrator_test_{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(base.uri, autocommit=True) as connection:
        needs_roles(connection)
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'; GRANT {name} TO CURRENT_USER".encode())
        connection.execute(f'REVOKE CREATE, TEMPORARY ON DATABASE "{base.name}" FROM PUBLIC'.encode())
        connection.execute(f"CREATE SCHEMA app AUTHORIZATION {name}".encode())
        connection.execute(f'ALTER ROLE {name} IN DATABASE "{base.name}" SET search_path = app'.encode())
    yield make_conninfo(base.uri, user=name, password=password)
    with psycopg.connect(base.uri, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


def test_a_role_that_may_not_create_schemas_needs_only_that_the_record_s_is_there(limited: str, base: Database) -> None:
    # raml-module-builder#1230
    base.write(
        _0001_a="CREATE TABLE t (id int)",
        _0002_b="-- migrate: non-transactional\nCREATE INDEX CONCURRENTLY i ON t (id)",
    )
    with pytest.raises(StatementFailed) as caught:
        migrator.run(limited, base.directory, QUIET)
    assert caught.value.sqlstate == "42501"
    assert "CREATE SCHEMA migrator AUTHORIZATION" in caught.value.hint
    owner = make_conninfo_user(limited)
    base.execute(f"CREATE SCHEMA migrator AUTHORIZATION {owner}")
    assert len(migrator.run(limited, base.directory, QUIET).applied) == 2
    assert base.value("SELECT to_regclass('app.t') IS NOT NULL")


def make_conninfo_user(uri: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(uri)["user"])


def test_a_standby_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a ()")
    with PrivatePostgres(host="127.0.0.1") as server:
        server.become_standby()
        with pytest.raises(DatabaseUnavailable, match="standby") as caught:
            migrator.run(server.uri("postgres"), tmp_path, QUIET)
    assert caught.value.sqlstate == "25006"
    assert "target_session_attrs" in caught.value.hint


def test_a_database_that_is_read_only_is_told_from_a_standby(base: Database) -> None:
    base.execute(f'ALTER DATABASE "{base.name}" SET default_transaction_read_only = on')
    base.write(_0001_a="CREATE TABLE a ()")
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert caught.value.sqlstate == "25006"
    assert "default_transaction_read_only" in caught.value.hint


def test_a_file_deleted_from_the_middle_is_missed_and_not_called_newer(base: Database) -> None:
    base.write(_0001_a="SELECT 1", _0002_b="SELECT 1", _0003_c="SELECT 1")
    migrator.run(base.uri, base.directory, QUIET)
    (base.directory / "0002_b.sql").unlink()
    said: list[str] = []
    result = migrator.run(base.uri, base.directory, QUIET, said.append)
    assert (result.ahead, result.missing) == ((), ("0002_b.sql",))
    assert any(
        line.startswith("WARNING: 0002_b.sql applied to this database, and not among these files") for line in said
    )
    assert not any("newer" in line for line in said)


def test_what_lies_beside_the_migrations_and_is_not_run_is_logged(base: Database) -> None:
    base.write(_0001_a="SELECT 1")
    (base.directory / "0002_b.sql.orig").write_text("SELECT 1")
    said: list[str] = []
    migrator.run(base.uri, base.directory, QUIET, said.append)
    assert any(line.startswith("WARNING: not run") and "0002_b.sql.orig" in line for line in said)


HANGS = "CREATE TABLE a ();\n\nSELECT pg_sleep(60)"


@pytest.mark.parametrize("marker", ["", "-- migrate: non-transactional\n"])
def test_a_run_that_its_job_s_deadline_ends_says_so_and_where_it_was(marker: str, base: Database) -> None:
    base.write(_0001_a=marker + HANGS)
    runner = base.start(MIGRATE_DEADLINE="4")
    runner.wait_for("statement 2/2")
    threading.Event().wait(2.5)  # as long as the deadline takes
    runner.process.send_signal(signal.SIGTERM)
    assert runner.end() == 128 + signal.SIGTERM
    words = runner.words
    assert (words["outcome"], words["file"], words["line"]) == ("terminated", "0001_a.sql", 4 if marker else 3)
    assert words["statement"] == "SELECT pg_sleep(60)"
    assert words["message"].startswith(
        "ended by the deadline of its Job, 4 s (migration.activeDeadlineSeconds), at 0001_a.sql statement 2/2"
    )
    assert ("rolled back" in words["message"]) == (not marker)
    assert "activeDeadlineSeconds" in words["hint"]
    assert "Run it again" not in words["hint"]


def test_a_signal_long_before_the_deadline_is_not_taken_for_it(base: Database) -> None:
    base.write(_0001_a=HANGS)
    runner = base.start(MIGRATE_DEADLINE="600")
    runner.wait_for("statement 2/2")
    runner.process.send_signal(signal.SIGTERM)
    runner.end()
    assert runner.words["message"].startswith("ended by SIGTERM after")
    assert runner.words["hint"].startswith("Run it again")


def test_a_run_that_is_ended_while_it_is_blocked_names_who_blocks_it(base: Database) -> None:
    base.execute("CREATE TABLE b ()")
    base.write(_0001_a="ALTER TABLE b ADD COLUMN c int")
    with psycopg.connect(base.uri, application_name="night report") as blocker:
        blocker.execute("SELECT FROM b")
        runner = base.start(MIGRATE_LOCK_TIMEOUT="0.3", MIGRATE_RETRY_BUDGET="60")
        for _ in range(4):
            runner.wait_for("trying again")
        runner.process.send_signal(signal.SIGTERM)
        runner.end()
    assert "night report" in runner.words["message"]
    assert runner.words["blockers"][0]["application"] == "night report"
    assert (runner.words["file"], runner.words["line"]) == ("0001_a.sql", 1)
