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
