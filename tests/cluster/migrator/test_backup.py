"""A backup is one once it has been read back whole; a restore puts exactly that in the database's place, or changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator import backup, dump, fingerprint, restore, scratch, traits
from migrator.backup import Manifest
from migrator.errors import BackupUnusable, DatabaseCommandFailed, MigratorError, StoreFailed
from migrator.job import install_signals
from migrator.stores import Folder
from tests.cluster.migrator.conftest import REPOSITORY, Database, remove

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

EVERYTHING = (Path(__file__).parent / "everything.sql").read_text()
BOOKS = """
CREATE TABLE accounts (id int PRIMARY KEY, name text NOT NULL, cents bigint NOT NULL);
INSERT INTO accounts SELECT n, md5(n::text), n * 7 FROM generate_series(1, 5000) n;
CREATE TABLE "odd ""name" (x int);
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir()
    return made


@pytest.fixture
def books(base: Database, server: str) -> Iterator[Database]:
    base.execute(BOOKS)
    yield base
    for name in beside(base, server):
        remove(name, server)


def beside(base: Database, server: str) -> list[str]:
    """The databases that are named after one."""
    with psycopg.connect(server) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datname <> %s", (base.name, base.name)
        )
        return [str(name) for (name,) in rows.fetchall()]


def environment(base: Database) -> dict[str, str]:
    owner = {"ROLLOUT_STACK": "rollout.test.0", "ROLLOUT_MODULE": "ledger"}
    return {"POSTGRES_URI": base.uri, "POSTGRES_DATABASE": base.name, "MIGRATE_CONNECT_BUDGET": "5", **owner}


def take(base: Database, folder: Path, target: str = "1.1.0", version: str = "1.0.0", keep: int = 3) -> dict[str, Any]:
    words = backup.take(
        environment(base), Folder(folder), module="ledger", version=version, target=target, keep=keep, log=print
    )
    return dict(words)


def back(base: Database, folder: Path, wanted: str = "", *, differences: bool = False) -> dict[str, Any]:
    return dict(restore.restore(environment(base), Folder(folder), wanted, differences=differences, log=print))


def schema(uri: str) -> fingerprint.Snapshot:
    with psycopg.connect(uri, autocommit=True) as connection:
        return fingerprint.take(connection)


def command(base: Database, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "migrator", *arguments]


def test_a_backup_is_a_dump_its_fingerprint_and_a_manifest(books: Database, folder: Path) -> None:
    said = take(books, folder)["backup"]
    assert sorted(path.name.rpartition(".")[2] for path in folder.iterdir()) == ["dump", "json", "schema"]
    manifest = Manifest.from_json((folder / f"{said['id']}.json").read_bytes())
    assert (manifest.module, manifest.version, manifest.target) == ("ledger", "1.0.0", "1.1.0")
    assert manifest.rows == {'"public"."accounts"': 5000, '"public"."odd ""name"': 0}
    assert manifest.size == (folder / f"{manifest.id}.dump").stat().st_size
    assert manifest.schema == schema(books.uri).digest
    assert manifest.database == books.name
    assert said["rows"] == 5000, "the last words have the sum, as they are kept short"


def test_a_database_without_tables_is_not_backed_up_and_that_is_said(base: Database, folder: Path) -> None:
    words = take(base, folder)
    assert words["outcome"] == "skipped"
    assert "no tables" in words["message"]
    assert list(folder.iterdir()) == []


def test_what_was_backed_up_comes_back_and_what_was_there_is_kept(books: Database, folder: Path, server: str) -> None:
    before = schema(books.uri)
    take(books, folder)
    books.execute(
        "DELETE FROM accounts WHERE id > 10; ALTER TABLE accounts ADD COLUMN later int; CREATE TABLE more (x int)"
    )
    words = back(books, folder)
    assert schema(books.uri) == before
    assert books.value("SELECT count(*) FROM accounts") == 5000
    assert books.value("SELECT sum(cents) FROM accounts") == sum(n * 7 for n in range(1, 5001))
    assert beside(books, server) == [words["kept"]]
    kept = make_conninfo(server, dbname=words["kept"])
    with psycopg.connect(kept) as connection:
        assert connection.execute("SELECT count(*), count(later) FROM accounts").fetchone() == (10, 0)


def test_every_kind_of_object_comes_back(base: Database, folder: Path, server: str) -> None:
    base.execute(EVERYTHING)
    base.execute(f'ALTER DATABASE "{base.name}" SET search_path = books, "$user", public')
    base.execute(f'ALTER DATABASE "{base.name}" CONNECTION LIMIT 50')
    base.execute(
        f'REVOKE TEMPORARY ON DATABASE "{base.name}" FROM PUBLIC; GRANT CREATE ON DATABASE "{base.name}" TO pg_monitor'
    )
    before = schema(base.uri)
    take(base, folder)
    words = back(base, folder)
    try:
        assert schema(base.uri) == before
        assert words["changes"] == []
    finally:
        remove(words["kept"], server)


def test_settings_of_the_database_and_of_roles_in_it_come_back(role: str, books: Database, folder: Path) -> None:
    books.execute(f"""
        ALTER DATABASE "{books.name}" SET search_path = 'Odd, "name', "$user", public;
        ALTER DATABASE "{books.name}" SET application_name = 'a, "b" = ''c''\\';
        ALTER ROLE {role} IN DATABASE "{books.name}" SET search_path = books, public;
        ALTER ROLE {role} IN DATABASE "{books.name}" SET datestyle = 'SQL, DMY'
    """)
    before = traits_of(books)
    assert len(before) == 4
    take(books, folder)
    assert back(books, folder)["changes"] == []
    assert traits_of(books) == before


def traits_of(base: Database) -> list[str]:
    """The settings as the server keeps them."""
    with psycopg.connect(base.uri) as connection:
        return [str(each) for each in traits.settings(connection, base.name)]


def test_a_setting_that_the_role_may_not_make_is_told_and_refused_unless_accepted(
    books: Database, folder: Path, superuser: str, server: str
) -> None:
    with psycopg.connect(superuser, autocommit=True) as connection:
        if connection.info.parameter_status("is_superuser") != "on" or superuser == server:
            pytest.skip("needs a superuser beside the server's role")
        connection.execute(
            sql.SQL("ALTER ROLE postgres IN DATABASE {} SET search_path = s").format(sql.Identifier(books.name))
        )
    take(books, folder)
    with pytest.raises(BackupUnusable, match="setting search_path=s of role postgres: must be superuser"):
        back(books, folder)
    assert beside(books, server) == []
    changes = back(books, folder, differences=True)["changes"]
    assert any("setting search_path=s of role postgres" in line for line in changes)


def test_no_setting_of_the_database_hinders_its_backup_or_its_restore(books: Database, folder: Path) -> None:
    books.execute(f"""
        ALTER DATABASE "{books.name}" SET default_transaction_read_only = on;
        ALTER DATABASE "{books.name}" SET statement_timeout = '300ms';
        ALTER DATABASE "{books.name}" SET idle_in_transaction_session_timeout = '100ms'
    """)
    before = traits_of(books)
    waits = """SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND clock_timestamp() - query_start > '0.5 s')"""

    def locked() -> None:
        with psycopg.connect(books.uri) as connection:
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            connection.execute("SET TRANSACTION READ WRITE; LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
            held.set()
            while not books.value(waits) and not ended.is_set():
                time.sleep(0.05)

    held, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=locked)
    thread.start()
    assert held.wait(10)
    try:
        take(books, folder)
    finally:
        ended.set()
        thread.join()
    assert back(books, folder)["changes"] == []
    assert traits_of(books) == before


def test_no_setting_of_the_role_hinders_a_backup_or_a_restore(
    role: str, books: Database, folder: Path, server: str
) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {role} LOGIN CREATEDB PASSWORD 'rehearsed'".encode())
        connection.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on".encode())
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*map(sql.Identifier, (books.name, role))))
    books.execute(f'ALTER TABLE accounts OWNER TO {role}; ALTER TABLE "odd ""name" OWNER TO {role}')
    as_role = replace(books, uri=make_conninfo(books.uri, user=role, password="rehearsed"))
    take(as_role, folder)
    assert back(as_role, folder)["changes"] == []
    assert books.value("SELECT count(*) FROM accounts") == 5000


def test_owner_and_connection_limit_come_back(role: str, books: Database, folder: Path) -> None:
    books.execute(f"""
        ALTER DATABASE "{books.name}" OWNER TO {role};
        ALTER DATABASE "{books.name}" CONNECTION LIMIT 7;
        REVOKE ALL ON DATABASE "{books.name}" FROM PUBLIC;
        GRANT CONNECT ON DATABASE "{books.name}" TO CURRENT_USER;
        ALTER TABLE accounts OWNER TO {role}
    """)
    facts = "SELECT datdba::regrole || ' ' || datconnlimit || ' ' || datacl::text FROM pg_database WHERE datname = %s"
    before = books.value(facts, books.name)
    assert before.startswith(f"{role} 7 ")
    take(books, folder)
    assert back(books, folder)["changes"] == []
    assert books.value(facts, books.name) == before


def test_a_limit_of_no_connections_comes_back_too(books: Database, folder: Path, server: str) -> None:
    take(books, folder)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 0").format(sql.Identifier(books.name)))
        back(books, folder)
        row = connection.execute("SELECT datconnlimit FROM pg_database WHERE datname = %s", (books.name,)).fetchone()
        connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT -1").format(sql.Identifier(books.name)))
    assert row == (0,)
    assert books.value("SELECT count(*) FROM accounts") == 5000


def test_a_database_of_another_owner_is_refused_before_anything_is_restored(
    role: str, books: Database, folder: Path, server: str
) -> None:
    take(books, folder)
    with psycopg.connect(server, autocommit=True) as connection:
        if connection.info.parameter_status("is_superuser") == "on":
            pytest.skip("a superuser may rename whatever there is")
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*map(sql.Identifier, (books.name, role))))
        connection.execute(f"REVOKE {role} FROM CURRENT_USER".encode())
        with pytest.raises(DatabaseCommandFailed, match=f"belongs to {role}, and .* may not rename it") as caught:
            back(books, folder)
        connection.execute(f"GRANT {role} TO CURRENT_USER".encode())
    assert f'GRANT "{role}" TO' in caught.value.hint
    assert beside(books, server) == []


@pytest.fixture
def extension(superuser: str) -> Iterator[str]:
    """An extension with a table that its users fill, one they add to, and one that is its own; on the server for a test."""
    name = f"migrator_test_{secrets.token_hex(4)}"
    with psycopg.connect(superuser) as connection:
        if connection.info.parameter_status("is_superuser") != "on":
            pytest.skip("needs a superuser")
        row = connection.execute("SELECT setting FROM pg_config() WHERE name = 'SHAREDIR'").fetchone()
        assert row
        place = Path(row[0]) / "extension"
        if not os.access(place, os.W_OK):
            pytest.skip("the server is on another machine")
        files = {
            place / f"{name}.control": "default_version = '1.0'\nsuperuser = false\n",
            place / f"{name}--1.0.sql": """
                CREATE TABLE "of users" (id int);
                CREATE TABLE added_to (id int, standard boolean);
                INSERT INTO added_to VALUES (1, true), (2, true);
                CREATE TABLE own AS SELECT 1 AS id;
                SELECT pg_catalog.pg_extension_config_dump('"of users"', '');
                SELECT pg_catalog.pg_extension_config_dump('added_to', 'WHERE NOT standard');
            """,
        }
        try:
            for path, text in files.items():
                path.write_text(text)
            row = connection.execute("SELECT FROM pg_available_extensions WHERE name = %s", (name,)).fetchone()
            if row is None:
                pytest.skip("the server is on another machine")
            yield name
        finally:
            for path in files:
                path.unlink(missing_ok=True)


def test_what_users_have_put_into_an_extension_s_tables_is_backed_up_and_comes_back(
    extension: str, books: Database, folder: Path
) -> None:
    books.execute(f"CREATE SCHEMA e; CREATE EXTENSION {extension} SCHEMA e")
    books.execute('INSERT INTO e."of users" VALUES (1), (2), (3); INSERT INTO e.added_to VALUES (9, false)')
    made = take(books, folder)["backup"]["id"]
    rows = Manifest.from_json((folder / f"{made}.json").read_bytes()).rows
    assert rows == {'"e"."added_to"': 1, '"e"."of users"': 3, '"public"."accounts"': 5000, '"public"."odd ""name"': 0}
    books.execute('DELETE FROM e."of users"')
    assert back(books, folder)["changes"] == []
    assert books.value('SELECT count(*) FROM e."of users"') == 3
    assert books.value("SELECT array_agg(id ORDER BY id) FROM e.added_to") == [1, 2, 9]


def test_a_database_that_is_gone_comes_back(books: Database, folder: Path, server: str) -> None:
    take(books, folder)
    remove(books.name, server)
    words = back(books, folder)
    assert words["kept"] == ""
    assert books.value("SELECT count(*) FROM accounts") == 5000


@pytest.mark.parametrize(
    ("provider", "since", "wanted"),
    [
        ("c", 15, "LOCALE_PROVIDER libc LOCALE 'C'"),
        ("i", 15, "LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' LOCALE 'C.UTF-8'"),
        ("i", 16, "LOCALE_PROVIDER icu ICU_LOCALE 'de' ICU_RULES '&a < g' LOCALE 'C.UTF-8'"),
        ("b", 17, "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"),
    ],
)
def test_the_restored_database_sorts_as_the_one_before(
    base: Database, server: str, folder: Path, provider: str, since: int, wanted: LiteralString
) -> None:
    facts = "to_jsonb(d) - '{oid,datname,datfrozenxid,datminmxid,dattablespace}'::text[]"
    with psycopg.connect(server, autocommit=True) as connection:
        if connection.info.server_version < since * 10_000:
            pytest.skip(f"PostgreSQL has it since {since}")
        name = sql.Identifier(base.name)
        connection.execute(sql.SQL("DROP DATABASE {}").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING UTF8 " + wanted).format(name))
    base.execute(BOOKS)
    before = base.value(f"SELECT {facts} FROM pg_database d WHERE datname = current_database()")
    assert before["datlocprovider"] == provider
    take(base, folder)
    back(base, folder)
    assert base.value(f"SELECT {facts} FROM pg_database d WHERE datname = current_database()") == before
    for each in beside(base, server):
        remove(each, server)


def test_sessions_in_the_database_are_sent_out_and_come_into_the_restored_one(books: Database, folder: Path) -> None:
    take(books, folder)
    books.execute("DELETE FROM accounts")
    stop = threading.Event()
    errors: list[str] = []
    seen: list[int] = []

    def client() -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(books.uri, autocommit=True) as connection:
                    while not stop.is_set():
                        row = connection.execute("SELECT count(*) FROM accounts").fetchone()
                        seen.append(row[0] if row else -1)
                        time.sleep(0.01)
            except psycopg.Error as error:
                errors.append(str(error))

    threads = [threading.Thread(target=client) for _ in range(4)]
    with psycopg.connect(books.uri) as idle:
        idle.execute("SELECT 1")  # in a transaction, and nobody in front of it
        for thread in threads:
            thread.start()
        words = back(books, folder)
        at_end = len(seen)
        while len(seen) < at_end + 8:
            time.sleep(0.01)
        stop.set()
        for thread in threads:
            thread.join()
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
    assert words["sessions"] >= 5
    assert set(seen) == {0, 5000}
    assert seen[-1] == 5000
    assert all("terminating connection" in e or "does not exist" in e or "server closed" in e for e in errors), set(
        errors
    )


@pytest.mark.parametrize("how", ["truncated", "one byte changed", "gone"])
def test_a_damaged_backup_is_refused_and_the_database_is_as_it_was(
    books: Database, folder: Path, server: str, how: str
) -> None:
    made = take(books, folder)["backup"]["id"]
    books.execute("DELETE FROM accounts WHERE id > 10")
    path = folder / f"{made}.dump"
    whole = path.read_bytes()
    if how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "one byte changed":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    else:
        path.unlink()
    with pytest.raises((BackupUnusable, StoreFailed)):
        back(books, folder)
    assert books.value("SELECT count(*) FROM accounts") == 10
    assert beside(books, server) == []


class Exchanged(Folder):
    """A place that gives another dump from the second time on, as if somebody had put it there meanwhile."""

    def __init__(self, path: Path, other: bytes) -> None:
        super().__init__(path)
        self._other, self._reads = other, 0

    def read(self, name: str) -> Iterator[bytes]:
        self._reads += name.endswith(".dump")
        if name.endswith(".dump") and self._reads > 1:
            return iter([self._other])
        return super().read(name)


@pytest.mark.parametrize("when", ["before", "meanwhile", "longer", "shorter"])
def test_nothing_of_a_dump_that_is_not_the_manifest_s_reaches_the_server(
    books: Database, folder: Path, server: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "datetime", Later)
    monkeypatch.setattr(backup, "_CHUNK", 1024)
    made = take(books, folder)["backup"]["id"]
    whole = (folder / f"{made}.dump").read_bytes()
    books.execute("CREATE TABLE put_in (x int)")
    other = (folder / f"{take(books, folder)['backup']['id']}.dump").read_bytes()
    store: Folder = Folder(folder)
    if when == "before":
        (folder / f"{made}.dump").write_bytes(other)
    else:
        store = Exchanged(folder, {"meanwhile": other, "longer": whole + b"x", "shorter": whole[:2048]}[when])
    fed: list[bytes] = []
    feed = backup.feed

    def heard(options: list[str], chunks: Iterator[bytes], **more: Any) -> str:
        def each() -> Iterator[bytes]:
            for chunk in chunks:
                fed.append(chunk)
                yield chunk

        return feed(options, each(), **more)

    monkeypatch.setattr(restore, "feed", heard)
    said = "is damaged" if when == "before" else "was changed while it was restored"
    with pytest.raises(BackupUnusable, match=said):
        restore.restore(environment(books), store, made, differences=True, log=print)
    assert whole.startswith(b"".join(fed)), "what was not checked is not handed on"
    assert not (when == "before" and fed)
    assert beside(books, server) == []
    assert books.value("SELECT to_regclass('put_in')") == "put_in", "what is there is still there"


def test_a_fingerprint_that_is_not_the_manifest_s_is_refused(books: Database, folder: Path, server: str) -> None:
    made = take(books, folder)["backup"]["id"]
    books.execute("CREATE TABLE later (x int)")
    (folder / f"{made}.schema").write_text(schema(books.uri).to_json())
    with pytest.raises(BackupUnusable, match="its fingerprint of the schema is not the manifest's"):
        back(books, folder, differences=True)
    (folder / f"{made}.schema").write_text("{}")
    with pytest.raises(BackupUnusable, match="its fingerprint of the schema is not the manifest's"):
        back(books, folder, differences=True)
    assert beside(books, server) == []


def test_a_manifest_that_leads_to_other_files_is_none(books: Database, folder: Path, tmp_path: Path) -> None:
    made = take(books, folder)["backup"]["id"]
    manifest = json.loads((folder / f"{made}.json").read_text())
    (folder / "other.json").write_text(
        json.dumps(manifest | {"id": "../elsewhere", "created": "2999-01-01T00:00:00+00:00"})
    )
    assert [each.id for each in backup.kept(Folder(folder))] == [made]


ADMINISTRATORS = {
    "event trigger": """CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY schema_changed; END $$;
        CREATE EVENT TRIGGER tell_of_ddl ON ddl_command_end EXECUTE FUNCTION tell()""",
    "extension": "CREATE EXTENSION pg_stat_statements",
}


@pytest.mark.parametrize("what", ["event trigger", "extension", "nothing", "no CREATEDB"])
def test_a_backup_says_whether_the_role_that_makes_it_could_restore_it(
    role: str, books: Database, folder: Path, superuser: str, server: str, what: str
) -> None:
    with psycopg.connect(make_conninfo(superuser, dbname=books.name), autocommit=True) as connection:
        if connection.info.parameter_status("is_superuser") != "on":
            pytest.skip("needs a superuser")
        if what in ADMINISTRATORS:
            connection.execute(ADMINISTRATORS[what].encode())
        createdb = "NOCREATEDB" if what == "no CREATEDB" else "CREATEDB"
        connection.execute(
            f"ALTER ROLE {role} LOGIN {createdb} PASSWORD 'rehearsed'; GRANT pg_read_all_data TO {role}".encode()
        )
        connection.execute(f"ALTER SCHEMA public OWNER TO {role}; GRANT CREATE ON SCHEMA public TO {role}".encode())
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*map(sql.Identifier, (books.name, role))))
        owned = connection.execute(
            f"SELECT format('ALTER TABLE %I OWNER TO {role}', relname) FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace".encode()
        ).fetchall()
        for (statement,) in owned:
            connection.execute(statement.encode())
        if what == "event trigger":
            connection.execute(f"ALTER FUNCTION tell() OWNER TO {role}".encode())
    as_role = replace(books, uri=make_conninfo(books.uri, user=role, password="rehearsed"))
    words = take(as_role, folder)
    assert words["outcome"] == "backed up"
    assert beside(books, server) == [], "what it was tried in is gone"
    if what == "nothing":
        assert words["message"] == ""
        assert back(as_role, folder)["changes"] == []
        return
    said = {"no CREATEDB": "cannot create database"}.get(what, f"permission denied to create {what}")
    assert words["message"].startswith("this role could not restore it, only an administrator could: ")
    assert said in words["message"]
    with pytest.raises(DatabaseCommandFailed, match=said):
        back(as_role, folder)


def test_rows_that_are_not_those_of_the_manifest_are_refused_unless_accepted(
    books: Database, folder: Path, server: str
) -> None:
    made = take(books, folder)["backup"]["id"]
    path = folder / f"{made}.json"
    manifest = json.loads(path.read_text())
    manifest["rows"]['"public"."accounts"'] = 5001
    path.write_text(json.dumps(manifest))
    with pytest.raises(BackupUnusable, match="5000 rows, the backup has 5001"):
        back(books, folder)
    assert beside(books, server) == []
    words = back(books, folder, differences=True)
    assert words["changes"] == ['"public"."accounts": 5000 rows, the backup has 5001']


def test_a_dump_that_was_cut_off_while_it_was_written_is_no_backup(
    books: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take(books, folder)["backup"]["id"]

    class Losing(Folder):
        """A volume that says it has written what it has not."""

        def begin(self, name: str, chunks: Any) -> None:
            super().begin(name, chunks)
            if name.endswith(".dump"):
                path = folder / f"{name}.partial"
                path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(BackupUnusable):
        backup.take(
            environment(books), Losing(folder), module="ledger", version="1.1.0", target="1.2.0", keep=1, log=print
        )
    assert [each.id for each in backup.kept(Folder(folder))] == [first], "the one before is not removed for it"
    monkeypatch.setattr(backup, "datetime", Later)
    second = take(books, folder, "1.2.0", "1.1.0", keep=1)
    assert [each.id for each in backup.kept(Folder(folder))] == [second["backup"]["id"]]
    assert len(list(folder.iterdir())) == 3, "what the failed one left is gone"


class Later(datetime):
    """A clock that goes on by a minute each time it is asked."""

    asked = 0

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        cls.asked += 1
        return datetime.fromtimestamp(1_900_000_000 + 60 * cls.asked, tz)


def test_so_many_are_kept_but_never_without_the_first_of_an_upgrade_that_is_tried_again(
    books: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "datetime", Later)
    for target in ("1.1.0", "1.2.0", "1.3.0"):
        take(books, folder, target, "1.0.0", keep=2)
    assert [each.target for each in backup.kept(Folder(folder))] == ["1.3.0", "1.2.0"]
    first = backup.kept(Folder(folder))[0].id
    for _ in range(4):
        take(books, folder, "1.3.0", "1.0.0", keep=2)
    left = backup.kept(Folder(folder))
    assert len(left) == 3
    assert left[-1].id == first, "it is from before the upgrade was tried at all"
    words = take(books, folder, "1.4.0", "1.3.0", keep=2)
    assert first in words["removed"]
    assert len(list(folder.iterdir())) == 6


def test_killed_in_the_middle_it_leaves_no_backup_and_the_next_run_cleans_up(books: Database, folder: Path) -> None:
    # Wide rows that do not compress, so that there is a middle to be killed in.
    books.execute(
        "CREATE TABLE wide AS SELECT n, (SELECT string_agg(md5(random()::text || n || i), '') FROM generate_series(1, 300) i) t"
        " FROM generate_series(1, 3000) n"
    )
    process = subprocess.Popen(
        command(books, "backup", "--store", str(folder), "--target", "1.1.0"),
        cwd=REPOSITORY, env={**os.environ, **environment(books)}, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not any(path.stat().st_size for path in folder.glob("*.dump.partial")):
        assert time.monotonic() < end
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = [path.name for path in folder.iterdir()]
    assert backup.kept(Folder(folder)) == []
    assert all(name.endswith(".partial") for name in left), left
    take(books, folder)
    assert len(list(folder.iterdir())) == 3


def test_its_password_is_in_no_command_line_and_in_no_log(books: Database, folder: Path) -> None:
    password = str(conninfo_to_dict(books.uri).get("password") or "")
    seen: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    line = path.read_bytes().decode(errors="replace")
                    if "pg_dump" in line or "pg_restore" in line:
                        seen.add(line)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for words in (["backup", "--target", "1.1.0"], ["backups", "--json"], ["restore"]):
            done = subprocess.run(
                command(books, *words, "--store", str(folder)), cwd=REPOSITORY, env={**os.environ, **environment(books)},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert password
            assert password not in done.stdout + done.stderr
            if words[0] == "backups":
                told = json.loads(done.stdout)
                assert (told["now"]["database"], len(told["backups"])) == (books.name, 1)
    finally:
        stop.set()
        thread.join()
    assert seen, "the tools were at work"
    assert not any(password in line for line in seen)


def test_killed_in_the_middle_of_a_restore_the_database_is_as_it_was_and_it_can_be_run_again(
    books: Database, folder: Path, server: str
) -> None:
    take(books, folder)
    books.execute("DELETE FROM accounts WHERE id > 10")
    process = subprocess.Popen(
        command(books, "restore", "--store", str(folder)), cwd=REPOSITORY, env={**os.environ, **environment(books)},
        start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not [each for each in beside(books, server) if each.startswith(f"{books.name}-restoring-")]:
        assert time.monotonic() < end
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert books.value("SELECT count(*) FROM accounts") == 10
    words = back(books, folder)
    assert books.value("SELECT count(*) FROM accounts") == 5000
    assert beside(books, server) == [words["kept"]]


# What is restored of it takes a minute, and only there.
SLOW = """
CREATE FUNCTION slowly(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN IF pg_catalog.current_database() LIKE '%-restoring-%' THEN PERFORM pg_catalog.pg_sleep(60); END IF; RETURN n; END $$;
CREATE TABLE slow (n int); INSERT INTO slow VALUES (1); CREATE INDEX slow_n ON slow (slowly(n))
"""


def test_ended_in_the_middle_of_a_restore_it_leaves_nothing_and_what_lasts_is_told(
    books: Database, folder: Path, server: str
) -> None:
    books.execute(SLOW)
    take(books, folder)
    books.execute("DELETE FROM accounts WHERE id > 10")
    process = subprocess.Popen(
        command(books, "restore", "--store", str(folder), "--json"), cwd=REPOSITORY,
        env={**os.environ, **environment(books)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    assert next((line for line in process.stderr if "so far" in line), "").startswith("restore: restoring: ")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, json.loads(out)["outcome"]) == (143, "terminated")
    assert beside(books, server) == []
    assert books.value("SELECT count(*) FROM accounts") == 10


def test_a_signal_that_comes_while_the_databases_change_places_does_not_hide_that_they_have(
    books: Database, folder: Path
) -> None:
    take(books, folder)
    books.execute("DELETE FROM accounts WHERE id > 10")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def log(line: str) -> None:
        if line == "the databases change places":
            os.kill(os.getpid(), signal.SIGTERM)

    install_signals()
    try:
        words = restore.restore(environment(books), Folder(folder), "", differences=False, log=log)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert words["outcome"] == "restored"
    assert books.value("SELECT count(*) FROM accounts") == 5000


def test_a_database_that_cannot_be_dumped_is_no_backup(
    books: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump, "LOCK_WAIT", "--lock-wait-timeout=200")
    # Counting the rows waits too, so the lock comes between: on a view's table pg_dump alone asks for.
    books.execute("CREATE VIEW shown AS SELECT 1 AS one")
    with psycopg.connect(books.uri) as connection:
        connection.execute("LOCK TABLE shown IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(MigratorError):
            take(books, folder)
    assert list(folder.iterdir()) == []


def test_names_stay_within_what_postgresql_allows() -> None:
    name = scratch.beside("a" * 63, "_before_restore_20260101T000000")
    assert len(name) == 63
    assert name.endswith("_before_restore_20260101T000000")
    made: Callable[[str], str] = lambda text: scratch.beside(text, "-restoring")  # noqa: E731
    assert len(made("ä" * 40).encode()) <= 63


def test_a_restore_that_fails_on_a_row_says_where_and_not_what(books: Database, folder: Path) -> None:
    books.execute("CREATE TABLE tokens (token text); INSERT INTO tokens VALUES ('correct-horse')")
    books.execute("""
        CREATE FUNCTION short(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            IF current_database() LIKE '%-restoring-%' THEN RETURN $1::int > 0; END IF; RETURN true; END $$;
        ALTER TABLE tokens ADD CHECK (short(token))
    """)
    take(books, folder)
    with pytest.raises(DatabaseCommandFailed) as caught:
        back(books, folder)
    assert 'invalid input syntax for type integer: "…" (SQLSTATE 22P02), COPY tokens, line 1' in caught.value.message
    assert "correct" not in caught.value.message + caught.value.hint
