"""The fingerprint sees every kind of object, sees nothing that does not matter, and reads only."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import migrator
from migrator import database, dump, fingerprint
from migrator.cli import main
from migrator.database import Target
from migrator.dump import pour, tool
from migrator.errors import Blocked, InvalidMigration
from migrator.fingerprint import Snapshot
from tests.cluster.migrator.conftest import QUIET, Database

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

EVERYTHING = (Path(__file__).parent / "everything.sql").read_text()


def take(uri: str) -> Snapshot:
    with psycopg.connect(uri, autocommit=True) as connection:
        return fingerprint.take(connection)


def texts(before: Snapshot, after: Snapshot) -> list[str]:
    return [str(each) for each in fingerprint.difference(before, after)]


@pytest.fixture
def full(base: Database) -> Database:
    base.execute(EVERYTHING)
    return base


def test_every_kind_of_object_is_in_it(full: Database) -> None:
    kinds = {each.kind for each in take(full.uri).objects}
    assert kinds == {
        "aggregate",
        "cast",
        "collation",
        "column",
        "composite type",
        "constraint",
        "database",
        "default privileges",
        "domain",
        "enum",
        "extended statistics",
        "extension",
        "function",
        "index",
        "materialized view",
        "operator",
        "policy",
        "procedure",
        "range type",
        "rule",
        "schema",
        "sequence",
        "table",
        "text search configuration",
        "trigger",
        "view",
    }


def test_it_comes_back_from_json_as_it_was(full: Database) -> None:
    taken = take(full.uri)
    again = Snapshot.from_json(taken.to_json())
    assert again == taken
    assert again.digest == taken.digest
    assert texts(taken, again) == []


def test_a_changed_text_is_refused(full: Database) -> None:
    text = take(full.uri).to_json()
    with pytest.raises(InvalidMigration, match="was changed"):
        Snapshot.from_json(text.replace("numeric(20,0)", "numeric(30,0)"))
    with pytest.raises(InvalidMigration, match="no fingerprint"):
        Snapshot.from_json("{}")


def test_physical_positions_and_oids_do_not_matter(full: Database, make_database: Callable[[], Database]) -> None:
    other = make_database()
    other.execute("CREATE TABLE churn (a int, b int); DROP TABLE churn; CREATE TYPE e AS ENUM ('a'); DROP TYPE e")
    # A dropped column stays in pg_attribute for ever, and the numbers of the later ones with it.
    changed = EVERYTHING.replace(
        "CREATE TABLE books.base (common integer)", "CREATE TABLE books.base (x int, common integer)"
    )
    other.execute(changed.replace("INHERITS (books.base);", "INHERITS (books.base); ALTER TABLE books.base DROP x;"))
    other.execute("INSERT INTO books.postings (during) VALUES (NULL)")
    other.execute("VACUUM FREEZE ANALYZE")
    other.value("SELECT nextval('books.numbers')")
    assert texts(take(full.uri), take(other.uri)) == []
    assert take(full.uri).digest == take(other.uri).digest


def test_a_dumped_and_restored_schema_is_the_same(full: Database, make_database: Callable[[], Database]) -> None:
    other = make_database()
    made = subprocess.run([tool("pg_dump"), "--schema-only", f"--dbname={full.uri}"], capture_output=True, check=True)
    script = io.BytesIO()
    pour(io.BytesIO(made.stdout), script)
    other.execute("\n".join(line for line in script.getvalue().decode().splitlines() if not line.startswith("\\")))
    assert texts(take(full.uri), take(other.uri)) == []


def test_a_list_of_values_survives_dump_and_restore(
    base: Database, make_database: Callable[[], Database], tmp_path: Path
) -> None:
    base.execute(
        "CREATE DOMAIN answer AS varchar CHECK (VALUE IN ('yes', 'no'));"
        "CREATE FUNCTION is_open(x varchar) RETURNS boolean IMMUTABLE LANGUAGE sql RETURN x IN ('open', 'half');"
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TABLE t (status varchar CHECK (status IN ('open', 'it''s, [closed]')), code varchar(10) CHECK (code NOT IN ('a', 'b')),"
        " side varchar CHECK (side = ANY (ARRAY['debit', 'credit'])), kind varchar CHECK (kind IN (lower('A')::varchar, 'b')),"
        " known boolean GENERATED ALWAYS AS (status IN ('open', 'closed')) STORED,"
        " later boolean DEFAULT ('a'::varchar IN ('a', 'b')), answer answer);"
        "CREATE INDEX codes ON t (code) WHERE status IN ('open', 'closed');"
        "CREATE VIEW v AS SELECT code NOT IN ('a', 'b') AS other FROM t WHERE status = ANY (ARRAY['open', 'closed']);"
        "CREATE POLICY own ON t USING (status IN ('open', 'closed')) WITH CHECK (code NOT IN ('a', 'b'));"
        "CREATE STATISTICS s ON (status IN ('open', 'closed')), code FROM t;"
        "CREATE TRIGGER noted BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.side IN ('debit', 'credit')) EXECUTE FUNCTION noted();"
        "CREATE RULE quiet AS ON DELETE TO t WHERE OLD.side NOT IN ('debit', 'credit') DO INSTEAD NOTHING;"
        "CREATE TABLE parts (side varchar) PARTITION BY LIST ((side IN ('debit', 'credit')))"
    )
    other = make_database()
    assert dump.copy(base.uri, other.uri, [], tmp_path) == []
    printed = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 't_status_check'"
    assert base.value(printed) != other.value(printed)
    before = take(base.uri)
    assert texts(before, take(other.uri)) == []
    assert before.digest == take(other.uri).digest

    other.execute(
        "ALTER TABLE t DROP CONSTRAINT t_code_check, ADD CONSTRAINT t_code_check CHECK (code NOT IN ('a', 'c'))"
    )
    (change,) = fingerprint.difference(before, take(other.uri))
    assert change.name == "public.t.t_code_check"


def test_the_owner_s_name_does_not_matter(full: Database, server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        may = connection.execute("SELECT rolcreaterole, rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if not may or not any(may):
            pytest.skip("this server's role may not create the role to test with")
        role, name = f"migrator_test_{secrets.token_hex(4)}", f"migrator-test-{secrets.token_hex(4)}"
        password = secrets.token_hex(8)
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD '{password}'".encode())
        connection.execute(f"GRANT {role} TO CURRENT_USER".encode())
    try:
        target = Target(name, make_conninfo(server, user=role, password=password))
        database.create(target, QUIET, print)
        uri = make_conninfo(target.conninfo, dbname=name)
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(EVERYTHING.encode())
        assert take(uri).digest == take(full.uri).digest
        database.drop(target, QUIET, print)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            connection.execute(f"DROP ROLE {role}".encode())


def test_settings_of_the_session_do_not_matter(full: Database) -> None:
    with psycopg.connect(full.uri, autocommit=True) as connection:
        before = fingerprint.take(connection)
        connection.execute(
            "SET timezone TO 'Asia/Tokyo'; SET datestyle TO 'German'; SET intervalstyle TO 'sql_standard'; "
            "SET search_path TO books; SET quote_all_identifiers TO on"
        )
        assert fingerprint.take(connection).digest == before.digest
        assert connection.execute("SHOW timezone").fetchone() == ("Asia/Tokyo",)
        assert connection.execute("SHOW search_path").fetchone() == ("books",)


def test_inside_of_a_transaction_it_sees_what_is_not_committed_yet(base: Database) -> None:
    with psycopg.connect(base.uri) as connection:
        before = fingerprint.take(connection)
        connection.execute("CREATE TABLE t (a integer)")
        assert texts(before, fingerprint.take(connection)) == [
            "added table public.t",
            "added column public.t.a (integer)",
        ]
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("off",)
        connection.rollback()
        assert texts(before, fingerprint.take(connection)) == []


def test_the_runner_s_record_is_left_out(base: Database) -> None:
    before = take(base.uri)
    base.write(_0001_a="SELECT 1")
    migrator.run(base.uri, base.directory, QUIET)
    assert texts(before, take(base.uri)) == []


def test_a_change_is_told_attribute_by_attribute(full: Database) -> None:
    before = take(full.uri)
    full.execute(
        "ALTER TABLE books.base ALTER common TYPE bigint, ALTER common SET NOT NULL; ALTER TYPE books.direction ADD VALUE 'both';"
        "GRANT INSERT ON books.scratch TO PUBLIC; DROP RULE quiet ON books.scratch"
    )
    assert texts(before, take(full.uri)) == [
        "column books.base.common: nullable yes -> no; type integer -> bigint",
        "column books.derived.common: nullable yes -> no; type integer -> bigint",
        "enum books.direction: labels + both",
        "table books.scratch: grants + INSERT to PUBLIC",
        "removed rule books.scratch.quiet (CREATE RULE quiet AS ON DELETE TO books.scratch DO INSTEAD NOTHING;)",
    ]


def test_an_index_left_invalid_is_seen(base: Database) -> None:
    base.execute("CREATE TABLE t (a integer)")
    base.execute("INSERT INTO t VALUES (1), (1)")
    before = take(base.uri)
    with contextlib.suppress(psycopg.errors.UniqueViolation):
        base.execute("CREATE UNIQUE INDEX CONCURRENTLY t_a ON t (a)")
    (change,) = fingerprint.difference(before, take(base.uri))
    assert (change.kind, change.object, change.name, change.after["valid"]) == ("added", "index", "public.t_a", False)


def test_implicit_casts_to_text_do_not_matter(superuser: str, full: Database) -> None:
    with psycopg.connect(make_conninfo(superuser, dbname=full.name)) as connection:
        if connection.info.parameter_status("is_superuser") != "on":
            pytest.skip("needs a superuser")
        before = fingerprint.take(connection)
        for kind in ("smallint", "integer", "bigint", "real", "oid", "regproc"):
            connection.execute(f"CREATE CAST ({kind} AS text) WITH INOUT AS IMPLICIT".encode())
        found = fingerprint.difference(before, fingerprint.take(connection))
        connection.rollback()
    assert [(each.kind, each.object) for each in found] == [("added", "cast")] * 6


def test_what_a_user_mapping_s_options_are_is_not_in_it(superuser: str, base: Database) -> None:
    with psycopg.connect(make_conninfo(superuser, dbname=base.name)) as connection:
        if connection.info.parameter_status("is_superuser") != "on":
            pytest.skip("needs a superuser")
        connection.execute("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w")
        connection.execute("CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'them', password 'se=cret')")
        text = fingerprint.take(connection).to_json()
        connection.rollback()
    assert '"PUBLIC on far", "far", {"options": ["password", "user"]}' in text
    assert "cret" not in text


def test_a_locked_view_s_table_is_told_instead_of_waited_for(full: Database) -> None:
    with psycopg.connect(full.uri) as holder:
        holder.execute("LOCK books.accounts")
        with psycopg.connect(full.uri) as connection, pytest.raises(Blocked, match="locked"):
            fingerprint.take(connection, lock_timeout=0.1)


def test_the_command_writes_it_and_its_exit_code_tells_what_breaks(full: Database, tmp_path: Path) -> None:
    def command(*arguments: str) -> int:
        return main(arguments, {"POSTGRES_URI": full.uri, "TERMINATION_LOG": str(tmp_path / "words")})

    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert command("fingerprint", "--out", one) == 0
    full.execute("ALTER TABLE books.scratch ADD y integer")
    assert command("fingerprint", "--out", two) == 0
    assert command("compare", one, two) == 0
    assert command("compare", two, one) == 3
    assert json.loads((tmp_path / "words").read_text())["findings"][0]["rule"] == "column-dropped"
    assert command("compare", two, one, "--contract") == 0
    assert command("compare", one, str(tmp_path / "none")) == 2


@pytest.mark.measures
def test_a_database_of_500_tables_takes_less_than_2_s(base: Database) -> None:
    base.execute(
        "DO $$BEGIN FOR n IN 1..500 LOOP EXECUTE format('CREATE TABLE t%1$s (id bigint GENERATED ALWAYS AS IDENTITY "
        "PRIMARY KEY, a text NOT NULL, b integer DEFAULT 1 CHECK (b > 0), c timestamptz, d jsonb, e numeric(20, 2), "
        "f boolean, g uuid UNIQUE); CREATE INDEX ON t%1$s (c)', n); END LOOP; END$$"
    )
    with psycopg.connect(base.uri, autocommit=True) as connection:
        began = time.monotonic()
        taken = fingerprint.take(connection)
        seconds = time.monotonic() - began
    assert len([each for each in taken.objects if each.kind == "table"]) == 500
    assert seconds < 2, f"{seconds:.2f} s"
