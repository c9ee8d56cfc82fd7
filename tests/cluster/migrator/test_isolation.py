"""A rehearsal changes nothing outside of its scratch database, whatever leads out of it; and copies what the role may copy."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import migrator
from migrator import rehearsal
from migrator.errors import DatabaseCommandFailed, StatementFailed
from migrator.scratch import REHEARSAL, name_for
from tests.cluster.migrator.conftest import QUIET, Database, remove

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


@pytest.fixture
def administrator(superuser: str) -> str:
    """A superuser's connection string."""
    with psycopg.connect(superuser) as connection:
        if connection.info.parameter_status("is_superuser") != "on":
            pytest.skip("needs a superuser")
    return superuser


@dataclass
class Pair:
    """The module's database as a superuser sees it, and another one that is real too."""

    own: Database
    other: Database
    uri: str

    @property
    def scratch(self) -> str:
        return name_for(self.own.name, REHEARSAL, "0123abcd")

    @property
    def environment(self) -> dict[str, str]:
        owner = {"ROLLOUT_STACK": "rollout.test.0", "ROLLOUT_MODULE": "ledger"}
        return {"POSTGRES_URI": self.uri, "POSTGRES_DATABASE": self.own.name, "SCRATCH_DATABASE": self.scratch, **owner}

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement.encode())

    def rehearse(self, folder: Path, sql: str, mode: str = "schema") -> dict[str, Any]:
        """All of it but the serving version."""
        rehearsal.prepare(self.environment, folder, mode, 1 << 30, (), print)
        self.own.write(_0001_a=sql)
        migrator.run(make_conninfo(self.uri, dbname=self.scratch), self.own.directory, QUIET, print)
        return self.judge(folder)

    def judge(self, folder: Path) -> dict[str, Any]:
        return rehearsal.judge(self.environment, folder, None, previous="1.0.0", log=print)


@pytest.fixture
def pair(role: str, administrator: str, make_database: Callable[..., Database]) -> Iterator[Pair]:  # the role goes last
    own, other = make_database(), make_database()
    other.execute("""
        CREATE TABLE invoice (id bigint, note text); INSERT INTO invoice VALUES (1, 'as it was');
        CREATE FUNCTION touch() RETURNS int LANGUAGE sql AS 'UPDATE public.invoice SET id = id RETURNING 1';
        CREATE VIEW touching AS SELECT touch()
    """)
    made = Pair(own, other, make_conninfo(administrator, dbname=own.name))
    yield made
    remove(made.scratch, administrator)


def server(pair: Pair, name: str = "billing") -> str:
    """What leads from a database to the other one, after the public report of DB links that went on working after a clone."""
    to = conninfo_to_dict(pair.own.uri)
    return f"""
        CREATE EXTENSION IF NOT EXISTS postgres_fdw;
        CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw
            OPTIONS (host '{to["host"]}', port '{to.get("port", 5432)}', dbname '{pair.other.name}', {_TLS});
        CREATE USER MAPPING FOR CURRENT_USER SERVER {name}
            OPTIONS (user '{to["user"]}', password '{to.get("password", "-")}');
        CREATE FOREIGN TABLE {name}_invoice (id bigint, note text) SERVER {name} OPTIONS (table_name 'invoice');
        CREATE FOREIGN TABLE {name}_touching (touch int) SERVER {name} OPTIONS (table_name 'touching');
    """


# The server connects to itself, and must look for no certificate in the home of whoever has started it.
_TLS = "sslmode 'prefer', sslcert '/nowhere/cert', sslkey '/nowhere/key', sslrootcert '/nowhere/root'"


def by_libpq(pair: Pair, uri: str) -> str:
    to = conninfo_to_dict(uri)
    return " ".join(f"{key}={value}" for key, value in {**to, "dbname": pair.other.name}.items() if key != "sslmode")


WRITES = [
    "UPDATE billing_invoice SET note = 'rehearsed'",
    "INSERT INTO billing_invoice VALUES (2)",
    "DELETE FROM billing_invoice",
    "TRUNCATE billing_invoice",
    "SELECT * FROM billing_touching",
    "ALTER SERVER billing OPTIONS (SET options '-c work_mem=4MB'); DELETE FROM billing_invoice",
]


def unchanged(pair: Pair) -> bool:
    return bool(
        pair.other.value("SELECT array_agg(note) = '{as it was}' AND min(xmin::text) = max(xmin::text) FROM invoice")
    )


@pytest.mark.parametrize("write", WRITES)
def test_what_is_behind_a_foreign_server_can_be_read_and_not_changed(pair: Pair, tmp_path: Path, write: str) -> None:
    pair.execute(server(pair))
    assert pair.rehearse(tmp_path, "CREATE TABLE copied AS SELECT * FROM billing_invoice")["outcome"] == "passed"
    with pytest.raises(StatementFailed) as caught:
        pair.rehearse(tmp_path, write)
    assert caught.value.sqlstate == "25006"
    pair.judge(tmp_path)
    assert unchanged(pair)
    pair.execute(write.replace("(SET options", "(ADD options"))  # in the real one nothing is in its way
    assert not unchanged(pair) or "touching" in write


def test_options_that_a_server_has_are_kept(pair: Pair, tmp_path: Path) -> None:
    pair.execute(server(pair) + "; ALTER SERVER billing OPTIONS (ADD options '-c search_path=public')")
    with pytest.raises(StatementFailed, match="read-only"):
        pair.rehearse(tmp_path, WRITES[0])
    assert unchanged(pair)


@pytest.mark.parametrize("mode", ["schema", "copy"])
def test_what_a_migration_makes_itself_cannot_either(pair: Pair, tmp_path: Path, mode: str) -> None:
    with pytest.raises(StatementFailed) as caught:
        pair.rehearse(tmp_path, server(pair) + ";\nUPDATE billing_invoice SET note = 'rehearsed'", mode)
    assert caught.value.sqlstate == "25006"
    assert unchanged(pair)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        "SELECT {schema}dblink_exec('{to}', 'DELETE FROM invoice')",
        "SELECT * FROM {schema}dblink('{to}', 'SELECT touch()') AS t (n int)",
        "SELECT {schema}dblink_connect('{to}')",
        "SELECT {schema}dblink_connect('c', '{to}')",
        "SELECT {schema}dblink_connect_u('{to}')",
    ],
)
def test_nothing_is_done_by_dblink(pair: Pair, tmp_path: Path, call: str, there: bool) -> None:
    extension = 'CREATE SCHEMA "odd one"; CREATE EXTENSION dblink SCHEMA "odd one"'
    if there:
        pair.execute(extension)
    text = call.format(to=by_libpq(pair, pair.own.uri), schema='"odd one".')
    with pytest.raises(StatementFailed, match="does not connect to elsewhere by dblink"):
        pair.rehearse(tmp_path, text if there else f"{extension};\n{text}")
    assert unchanged(pair)


def test_of_other_wrappers_nothing_is_written_to_foreign_tables(pair: Pair, tmp_path: Path) -> None:
    pair.execute("CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw")
    pair.execute("CREATE FOREIGN TABLE f (a text) SERVER files OPTIONS (filename '/dev/null')")
    assert pair.rehearse(tmp_path, "SELECT * FROM f")["outcome"] == "passed"
    rehearsal.prepare(pair.environment, tmp_path, "schema", 0, (), print)
    with psycopg.connect(make_conninfo(pair.uri, dbname=pair.scratch)) as connection:
        row = connection.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'f'::regclass").fetchone()
    assert row == ("rollout_rehearsal",)


@pytest.mark.parametrize(
    "write",
    [
        "INSERT INTO parted VALUES (2)",
        "UPDATE parted SET note = 'rehearsed'",
        "UPDATE parent SET note = 'rehearsed'",
        "SET session_replication_role = replica; INSERT INTO child VALUES (2)",
    ],
)
def test_of_other_wrappers_nothing_is_written_by_the_tables_above_them_either(
    pair: Pair, tmp_path: Path, write: str
) -> None:
    """Of a wrapper whose options say nothing of libpq; the public ones for other databases are alike."""
    pair.execute(
        server(pair).replace(
            "CREATE SERVER billing FOREIGN DATA WRAPPER postgres_fdw",
            "CREATE FOREIGN DATA WRAPPER other HANDLER postgres_fdw_handler; CREATE SERVER billing FOREIGN DATA WRAPPER other",
        )
        + """
        CREATE TABLE parted (id bigint, note text) PARTITION BY RANGE (id);
        CREATE FOREIGN TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10) SERVER billing OPTIONS (table_name 'invoice');
        CREATE TABLE parent (id bigint, note text);
        CREATE FOREIGN TABLE child () INHERITS (parent) SERVER billing OPTIONS (table_name 'invoice');
        """
    )
    with pytest.raises(StatementFailed) as caught:
        pair.rehearse(tmp_path, write)
    assert caught.value.sqlstate == "25006"
    pair.judge(tmp_path)
    assert unchanged(pair)


def test_who_replicates_is_held_back_too(pair: Pair, tmp_path: Path) -> None:
    to = by_libpq(pair, pair.own.uri)
    with pytest.raises(StatementFailed, match="does not connect to elsewhere by dblink"):
        pair.rehearse(
            tmp_path,
            f"SET session_replication_role = replica; CREATE EXTENSION dblink; SELECT dblink_exec('{to}', 'DELETE FROM invoice')",
        )
    pair.judge(tmp_path)
    assert unchanged(pair)
    with pytest.raises(StatementFailed, match="a rehearsal has no subscription"):
        pair.rehearse(
            tmp_path,
            f"SET session_replication_role = replica; CREATE SUBSCRIPTION s CONNECTION '{to}' PUBLICATION p WITH (connect = false)",
        )
    pair.judge(tmp_path)
    assert not pair.own.value("SELECT count(*) FROM pg_database WHERE datname = %s", pair.scratch)


@pytest.mark.parametrize("connects", [True, False])
def test_a_subscription_takes_nothing_from_the_real_slot(pair: Pair, tmp_path: Path, connects: bool) -> None:
    """After neondatabase/neon#8790: rows went to a copy and were lost to the database they were meant for."""
    with psycopg.connect(make_conninfo(pair.uri, dbname=pair.other.name), autocommit=True) as connection:
        if connection.execute("SHOW wal_level").fetchone() != ("logical",):
            connects = False
        slot = f"feed_{secrets.token_hex(4)}"
        connection.execute("CREATE PUBLICATION feed FOR TABLE invoice")
        if connects:
            connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
        try:
            how = f"create_slot = false, slot_name = '{slot}'" + ("" if connects else ", connect = false")
            text = f"CREATE SUBSCRIPTION feed CONNECTION '{by_libpq(pair, pair.uri)}' PUBLICATION feed WITH ({how})"
            pair.execute("CREATE TABLE invoice (id bigint, note text)")
            with pytest.raises(StatementFailed, match="a rehearsal has no subscription"):
                pair.rehearse(tmp_path, f"-- migrate: non-transactional\n{text};")
            pair.judge(tmp_path)
            assert not pair.own.value("SELECT count(*) FROM pg_database WHERE datname = %s", pair.scratch)
            assert not pair.own.value("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'feed'")
        finally:
            if connects:
                connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))


@pytest.mark.parametrize(
    "left",
    [
        "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere dbname=x' PUBLICATION p WITH (connect = false, slot_name = 'real')",
        "BEGIN; CREATE TABLE p (a int); PREPARE TRANSACTION '{0}'",
    ],
)
def test_what_keeps_a_scratch_database_from_being_dropped_is_undone(pair: Pair, tmp_path: Path, left: str) -> None:
    rehearsal.prepare(pair.environment, tmp_path, "schema", 0, (), print)
    with psycopg.connect(make_conninfo(pair.uri, dbname=pair.scratch), autocommit=True) as connection:
        if "PREPARE" in left and connection.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
            pytest.skip("this server has no prepared transactions")
        connection.execute("DROP EVENT TRIGGER rollout_rehearsal_subscription")
        for statement in left.format(secrets.token_hex(4)).split("; "):
            connection.execute(statement.encode())
    if "SUBSCRIPTION" in left:
        with pytest.raises(rehearsal.Refused, match="has made a subscription"):
            pair.judge(tmp_path)
    else:
        pair.judge(tmp_path)
    assert not pair.own.value("SELECT count(*) FROM pg_database WHERE datname = %s", pair.scratch)


@pytest.fixture
def owned(pair: Pair, role: str) -> Pair:
    """The pair as the role sees it that owns the module's database, may make others and is no superuser."""
    pair.execute(f"""
        ALTER ROLE {role} LOGIN CREATEDB PASSWORD 'rehearsed'; CREATE TABLE t (a int);
        ALTER DATABASE "{pair.own.name}" OWNER TO {role}; ALTER TABLE t OWNER TO {role}; ALTER SCHEMA public OWNER TO {role}
    """)
    return Pair(pair.own, pair.other, make_conninfo(pair.uri, user=role, password="rehearsed", host=_host(pair)))


def _host(pair: Pair) -> str:
    return str(conninfo_to_dict(pair.own.uri)["host"])


EVENT_TRIGGER = """
    CREATE FUNCTION public.tell() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY schema_changed; END $$;
    CREATE EVENT TRIGGER tell_of_ddl ON ddl_command_end EXECUTE FUNCTION public.tell();
"""


@pytest.mark.parametrize(
    ("made", "lacks"),
    [
        ("CREATE EXTENSION pg_stat_statements", 'permission denied to create extension "pg_stat_statements"'),
        (
            "CREATE EXTENSION pageinspect; COMMENT ON EXTENSION pageinspect IS 'x'",
            "permission denied to create extension",
        ),
        (EVENT_TRIGGER, 'permission denied to create event trigger "tell_of_ddl"'),
    ],
)
def test_what_an_administrator_has_put_into_the_database_does_not_keep_it_from_being_rehearsed(
    pair: Pair, owned: Pair, tmp_path: Path, made: str, lacks: str
) -> None:
    pair.execute(made)
    words = owned.rehearse(tmp_path, "ALTER TABLE t ADD COLUMN b int")
    assert words["outcome"] == "passed"
    assert "lacks what this role may not copy" in words["message"]
    assert lacks in words["message"]


def test_what_needs_it_is_told_with_it(pair: Pair, owned: Pair, tmp_path: Path) -> None:
    pair.execute("CREATE EXTENSION pageinspect; CREATE VIEW pages AS SELECT get_raw_page('t', 0)")
    with pytest.raises(
        DatabaseCommandFailed, match=r"get_raw_page.*before that: permission denied to create ext"
    ) as caught:
        owned.rehearse(tmp_path, "SELECT 1")
    assert "An administrator can" in caught.value.hint


def test_a_copy_has_rows_sequences_views_and_large_objects(pair: Pair, tmp_path: Path) -> None:
    pair.execute("""
        CREATE TABLE parent (id serial PRIMARY KEY); CREATE TABLE child (id serial, parent int REFERENCES parent);
        INSERT INTO parent DEFAULT VALUES; INSERT INTO child (parent) VALUES (1);
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no more'; END $$;
        CREATE TRIGGER closed BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION refuse();
        CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n FROM child;
        SELECT lo_from_bytea(4711, 'large')
    """)
    rehearsal.prepare(pair.environment, tmp_path, "copy", 1 << 30, (), print)
    with psycopg.connect(make_conninfo(pair.uri, dbname=pair.scratch)) as connection:
        query = "SELECT (SELECT count(*) FROM child), (SELECT n FROM seen), nextval('parent_id_seq'), lo_get(4711)"
        assert connection.execute(query).fetchone() == (1, 1, 2, b"large")
        with pytest.raises(psycopg.errors.RaiseException, match="no more"):
            connection.execute("INSERT INTO child VALUES (9, 1)")


def dblink(pair: Pair, sql: str = "UPDATE invoice SET note = ''rehearsed''") -> str:
    return f"dblink_exec('{by_libpq(pair, pair.uri)}', '{sql}')"


@pytest.mark.parametrize("tag", ["CREATE FUNCTION", "CREATE EVENT TRIGGER", "GRANT"])
@pytest.mark.parametrize("body", ["PERFORM {0}", "RAISE EXCEPTION 'nobody changes this schema'"])
def test_event_triggers_of_the_copy_do_nothing_while_it_is_made(
    pair: Pair, tmp_path: Path, tag: str, body: str
) -> None:
    pair.execute(f"""
        CREATE EXTENSION dblink; CREATE TABLE t (a int); GRANT SELECT ON t TO PUBLIC;
        CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {body.format(dblink(pair))}; END $$;
        CREATE EVENT TRIGGER tell_of_ddl ON ddl_command_end {f"WHEN TAG IN ('{tag}')" if tag != "CREATE EVENT TRIGGER" else ""}
            EXECUTE FUNCTION tell()
    """)
    rehearsal.prepare(pair.environment, tmp_path, "schema", 0, (), print)
    assert unchanged(pair)
    assert pair.judge(tmp_path)["outcome"] == "passed"
    assert unchanged(pair)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM dblink('{0}', 'UPDATE invoice SET note = ''rehearsed'' RETURNING id') AS t (id bigint)",
        "SELECT {1}",
        "SELECT * FROM outside",
    ],
)
def test_a_materialized_view_that_asks_another_server_is_left_empty_in_a_copy(
    pair: Pair, tmp_path: Path, query: str
) -> None:
    pair.execute("CREATE EXTENSION dblink; CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    pair.execute(f"CREATE VIEW outside AS SELECT {dblink(pair)}")
    text = query.format(by_libpq(pair, pair.uri), dblink(pair))
    pair.execute(f"CREATE MATERIALIZED VIEW seen AS {text}; CREATE MATERIALIZED VIEW kept AS SELECT a FROM t")
    with psycopg.connect(make_conninfo(pair.uri, dbname=pair.other.name), autocommit=True) as connection:
        connection.execute("TRUNCATE invoice; INSERT INTO invoice VALUES (1, 'as it was')")
    words = rehearsal.prepare(pair.environment, tmp_path, "copy", 1 << 30, (), print)
    assert "a rehearsal does not connect to elsewhere by dblink" in words["message"]
    assert unchanged(pair)
    with psycopg.connect(make_conninfo(pair.uri, dbname=pair.scratch)) as connection:
        row = connection.execute("SELECT relispopulated FROM pg_class WHERE relname = 'seen'").fetchone()
        assert row == (False,)
        assert connection.execute("SELECT a FROM kept").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE FUNCTION x(text, text) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_exec'; SELECT x({0})",
        "CREATE FUNCTION dblink_exec(text, text) RETURNS text LANGUAGE c STRICT AS 'dblink'; SELECT dblink_exec({0})",
        "DO $$ BEGIN CREATE FUNCTION x(text, text) RETURNS text LANGUAGE c AS '$libdir/dblink', 'dblink_exec'; PERFORM x({0}); END $$",
        "CREATE FUNCTION x(text, text) RETURNS SETOF record LANGUAGE c AS '$libdir/dblink.so', 'dblink_record'; SELECT * FROM x({0}) AS t (a text)",
        "CREATE EXTENSION dblink; ALTER EXTENSION dblink DROP FUNCTION dblink_exec(text, text); ALTER FUNCTION dblink_exec(text, text) RENAME TO x;"
        "CREATE OR REPLACE FUNCTION x(text, text) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_exec'; SELECT x({0})",
        "CREATE FUNCTION x(text) RETURNS text LANGUAGE c AS '$libdir/dblink', 'dblink_connect'; SELECT x(split_part({0}, '|', 1))",
    ],
)
def test_dblink_is_known_by_its_code_and_not_by_its_name(pair: Pair, tmp_path: Path, text: str) -> None:
    given = f"'{by_libpq(pair, pair.uri)}', 'DELETE FROM invoice'"
    text = text.format(given if "|" not in text else given.replace("', '", "|"))
    with pytest.raises(StatementFailed, match="a rehearsal does not connect to elsewhere"):
        pair.rehearse(tmp_path, text.replace("; ", ";\n"))
    assert unchanged(pair)
    # Other functions of C are nobody's business, nor are those of it that connect to nothing.
    words = pair.rehearse(
        tmp_path,
        "CREATE FUNCTION lexized(regdictionary, internal, internal, internal) RETURNS internal LANGUAGE c AS '$libdir/unaccent', 'unaccent_lexize';"
        "CREATE FUNCTION pkey(text) RETURNS SETOF record LANGUAGE c AS '$libdir/dblink', 'dblink_get_pkey'",
    )
    assert words["outcome"] == "passed"


OTHER_WRAPPER = """
    CREATE TABLE parted (id bigint, note text) PARTITION BY RANGE (id);
    CREATE FOREIGN TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10) SERVER billing OPTIONS (table_name 'invoice');
    CREATE TABLE parent (id bigint, note text);
    CREATE FOREIGN TABLE child () INHERITS (parent) SERVER billing OPTIONS (table_name 'invoice')
"""


@pytest.mark.parametrize(
    "write",
    [
        "TRUNCATE child",
        "TRUNCATE parent",
        "TRUNCATE parted CASCADE",
        "DO $$ BEGIN EXECUTE 'TRUNCATE ONLY part'; END $$",
        "ALTER FOREIGN TABLE child DISABLE TRIGGER ALL; TRUNCATE child",
        "ALTER FOREIGN TABLE child DISABLE TRIGGER ALL; INSERT INTO child VALUES (2)",
        "ALTER TABLE child DISABLE TRIGGER USER; DELETE FROM parent",
        "ALTER TABLE parted DISABLE TRIGGER ALL; ALTER TABLE part DISABLE TRIGGER ALL; UPDATE parted SET note = 'rehearsed'",
        "DROP TRIGGER rollout_rehearsal ON child; INSERT INTO child VALUES (2)",
        "SET session_replication_role = replica; ALTER TABLE child ENABLE REPLICA TRIGGER rollout_rehearsal; DELETE FROM child",
        "CREATE FOREIGN TABLE later (id bigint) SERVER billing OPTIONS (table_name 'invoice'); TRUNCATE later",
    ],
)
def test_of_other_wrappers_nothing_is_truncated_and_no_trigger_stays_disabled(
    pair: Pair, tmp_path: Path, write: str
) -> None:
    pair.execute(
        server(pair).replace(
            "CREATE SERVER billing FOREIGN DATA WRAPPER postgres_fdw",
            "CREATE FOREIGN DATA WRAPPER other HANDLER postgres_fdw_handler; CREATE SERVER billing FOREIGN DATA WRAPPER other",
        )
        + OTHER_WRAPPER
    )
    with pytest.raises(StatementFailed, match="a rehearsal does not write to foreign table") as caught:
        pair.rehearse(tmp_path, write.replace("; ", ";\n") if "$$" not in write else write)
    assert caught.value.sqlstate == "25006"
    pair.judge(tmp_path)
    assert unchanged(pair)
    assert pair.rehearse(tmp_path, "CREATE TABLE copied AS SELECT id FROM child")["outcome"] == "passed"


@pytest.mark.parametrize(
    "call",
    [
        "SELECT pg_drop_replication_slot('{slot}')",
        "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'",
        "DO $$ BEGIN PERFORM pg_drop_replication_slot('{slot}'); END $$",
        "SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())",
        "SELECT pg_create_physical_replication_slot('{slot}_more')",
        "SELECT pg_copy_physical_replication_slot('{slot}', '{slot}_more')",
        "SELECT pg_replication_origin_create('{slot}')",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{other}'",
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = '{other}'",
    ],
)
def test_what_all_databases_have_in_common_is_left_alone_by_the_server_s_own_functions(
    pair: Pair, tmp_path: Path, call: str
) -> None:
    slot = f"feed_{secrets.token_hex(4)}"
    # The server is everybody's: other tests have slots too.
    own = f"SELECT slot_name, restart_lsn FROM pg_replication_slots WHERE slot_name LIKE '{slot}%'"
    with psycopg.connect(make_conninfo(pair.uri, dbname=pair.other.name), autocommit=True) as connection:
        try:
            connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (slot,))
            before = connection.execute(own.encode()).fetchall()
            with pytest.raises(StatementFailed) as caught:
                pair.rehearse(tmp_path, call.format(slot=slot, other=pair.other.name))
            assert caught.value.sqlstate == "25006"
            pair.judge(tmp_path)
            assert connection.execute(own.encode()).fetchall() == before
            made = "SELECT count(*) FROM pg_replication_origin WHERE roname LIKE %s"
            assert connection.execute(made, (f"{slot}%",)).fetchone() == (0,)
        finally:
            connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))


def test_sessions_in_the_copy_itself_may_be_ended(pair: Pair, tmp_path: Path) -> None:
    text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert pair.rehearse(tmp_path, text)["outcome"] == "passed"


@pytest.mark.parametrize("how", ["{0}", "DO $$ BEGIN {0}; END $$", "SAVEPOINT a;\n{0};\nRELEASE a"])
def test_drop_owned_takes_no_privilege_on_another_database(pair: Pair, role: str, tmp_path: Path, how: str) -> None:
    grants = f"SELECT array_to_string(datacl, ' ') ~ '{role}' FROM pg_database WHERE datname = %s"
    pair.execute(
        f'GRANT CONNECT ON DATABASE "{pair.other.name}" TO {role}; CREATE TABLE t (a int); GRANT SELECT ON t TO {role}'
    )
    with pytest.raises(StatementFailed, match=f"takes no privilege on database {pair.other.name}"):
        pair.rehearse(tmp_path, how.format(f"DROP OWNED BY {role}"))
    pair.judge(tmp_path)
    assert pair.own.value(grants, pair.other.name)
    pair.execute(f'REVOKE CONNECT ON DATABASE "{pair.other.name}" FROM {role}')
    with pytest.raises(rehearsal.Refused, match="breaks"):  # what it does in the copy is judged as ever
        pair.rehearse(tmp_path, f"DROP OWNED BY {role}")
    pair.execute(f"DROP OWNED BY {role}")
