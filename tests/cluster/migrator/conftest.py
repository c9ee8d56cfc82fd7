"""A real PostgreSQL server, a database of its own for each test, and runners as processes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from devkit import paths
from migrator import Settings, database
from migrator.database import Target

REPOSITORY = Path(__file__).resolve().parents[3]
QUIET = Settings(lock_timeout=0.5, retry_budget=10, runner_budget=30, connect_budget=5)

# All of the catalogue's rows, so that after a rollback even the OIDs must be the old ones. Left out are the columns
# that the server changes outside of transactions: statistics of tables and of (auto)vacuum.
_CATALOGUES = [
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_index",
    "pg_inherits",
    "pg_language",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_range",
    "pg_rewrite",
    "pg_sequence",
    "pg_trigger",
    "pg_ts_config",
    "pg_type",
]
_OUTSIDE = ["relpages", "reltuples", "relallvisible", "relfrozenxid", "relminmxid", "relhasindex"]


def catalogue(uri: str) -> dict[str, str]:
    """A digest of every table of pg_catalog."""
    with psycopg.connect(uri) as connection:
        found = {}
        for name in _CATALOGUES:
            query = f"SELECT md5(string_agg(r, '\n' ORDER BY r)) FROM (SELECT (to_jsonb(t) - %s::text[])::text FROM {name} t) AS x (r)"
            row = connection.execute(query.encode(), (_OUTSIDE,)).fetchone()
            found[name] = str(row and row[0])
        return found


@dataclass
class Runner:
    """`python -m migrator` as a process."""

    process: subprocess.Popen[str]
    words_file: Path
    lines: list[str] = field(default_factory=list)

    def wait_for(self, text: str, seconds: float = 20) -> None:
        """Reads its log until a line holds the text."""
        assert self.process.stderr is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            line = self.process.stderr.readline()
            self.lines.append(line)
            if text in line:
                return
            assert line, f"the runner ended without {text!r}: {self.lines}"
        raise AssertionError(f"no {text!r} within {seconds} s: {self.lines}")

    def end(self, seconds: float = 60) -> int:
        """Waits for its exit code."""
        _, rest = self.process.communicate(timeout=seconds)
        self.lines.append(rest)
        return self.process.returncode

    @property
    def log(self) -> str:
        return "".join(self.lines)

    @property
    def words(self) -> dict[str, Any]:
        """Its last words."""
        return dict(json.loads(self.words_file.read_text()))


@dataclass
class Database:
    """One database and one directory of migrations."""

    uri: str
    name: str
    directory: Path
    runners: list[Runner] = field(default_factory=list)

    def write(self, **migrations: str) -> None:
        """Writes migrations: `write(_0001_a="SELECT 1")`."""
        for name, text in migrations.items():
            (self.directory / f"{name.lstrip('_')}.sql").write_text(text)

    def start(self, *arguments: str, **environment: str) -> Runner:
        """Starts `migrate` as a process."""
        words = self.directory.parent / f"words-{len(self.runners)}"
        process = subprocess.Popen(
            [sys.executable, "-m", "migrator", "migrate", "--directory", str(self.directory), *arguments],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "POSTGRES_URI": self.uri,
                "TERMINATION_LOG": str(words),
                "MIGRATE_LOCK_TIMEOUT": "0.5",
                "MIGRATE_RETRY_BUDGET": "10",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        runner = Runner(process, words)
        self.runners.append(runner)
        return runner

    def value(self, query: str, *parameters: object) -> Any:
        """The first column of a query's first row."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            row = connection.execute(query.encode(), parameters).fetchone()
            return row[0] if row else None

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def server() -> str:
    """Connection string of the server's maintenance database."""
    return os.environ.get("TEST_POSTGRES_URI") or paths.postgres().uri()


@pytest.fixture(scope="session")
def superuser(server: str) -> str:
    """Connection string of a superuser, whom the devkit's cluster admits through a socket if root asks; else the server's own."""
    if "TEST_POSTGRES_URI" in os.environ or os.geteuid() != 0:
        return server
    kit = paths.postgres()
    return make_conninfo("", host=kit.superuser_socket, port=str(kit.port), user=kit.superuser, dbname="postgres")


def remove(name: str, server: str) -> None:
    """Drops a database of a test's own, whosever mark it has."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def needs_roles(connection: psycopg.Connection) -> None:
    """Skips a test where the role of a connection may not make others."""
    may = connection.execute("SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user").fetchone()
    if not may or not may[0]:
        pytest.skip("this server's role may not create the role to test with")


@pytest.fixture
def role(server: str) -> Iterator[str]:
    """A role of which the server's own is a member."""
    name = f"migrator_test_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        needs_roles(connection)
        connection.execute(f"CREATE ROLE {name}; GRANT {name} TO CURRENT_USER".encode())
    yield name
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP ROLE {name}".encode())


@pytest.fixture
def make_database(server: str, tmp_path: Path) -> Iterator[Callable[..., Database]]:
    made: list[Database] = []

    def make(encoding: str = "") -> Database:
        name = f"migrator-test-{secrets.token_hex(4)}"
        if encoding:
            with psycopg.connect(server, autocommit=True) as connection:
                how = f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"
                connection.execute(f'CREATE DATABASE "{name}" {how}'.encode())
        else:
            database.create(Target(name, server), QUIET, print)
        directory = tmp_path / name / "sql"
        directory.mkdir(parents=True)
        made.append(Database(make_conninfo(server, dbname=name), name, directory))
        return made[-1]

    yield make
    for each in made:
        for runner in each.runners:
            with contextlib.suppress(ProcessLookupError):
                runner.process.send_signal(signal.SIGKILL)
            runner.process.communicate()
        remove(each.name, server)


@pytest.fixture
def base(make_database: Callable[..., Database]) -> Database:
    return make_database()


PGBOUNCER = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer")


@pytest.fixture
def pooled(base: Database, tmp_path: Path) -> Iterator[str]:
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer, or name it with PGBOUNCER")
    server = {name: str(value) for name, value in conninfo_to_dict(base.uri).items()}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "users").write_text(f'"{server["user"]}" "{server["password"]}"\n')
    (tmp_path / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server['host']} port={server['port']}\n[pgbouncer]\n"
        f"listen_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\npool_mode=transaction\nauth_type=plain\n"
        f"auth_file={tmp_path}/users\nserver_tls_sslmode=prefer\ndefault_pool_size=8\n"
    )
    if os.geteuid() == 0:  # it refuses to run as root
        for path in (tmp_path, *tmp_path.parents):
            if path.owner() == "root" and str(path).startswith("/tmp/"):
                path.chmod(0o755)
    command = [PGBOUNCER, "-u", "nobody"] if os.geteuid() == 0 else [PGBOUNCER]
    with subprocess.Popen([*command, str(tmp_path / "pgbouncer.ini")], stderr=subprocess.DEVNULL) as process:
        uri = make_conninfo("", **{**server, "host": "127.0.0.1", "port": str(port), "sslmode": "disable"})
        try:
            for _ in range(100):
                try:
                    psycopg.connect(uri).close()
                    break
                except psycopg.OperationalError:
                    assert process.poll() is None, "pgbouncer has ended"
                    time.sleep(0.1)
            yield uri
        finally:
            process.terminate()


# What a session may hold that a new one does not.
SESSION = """
SELECT current_user = session_user, current_setting('search_path') = reset_val,
       (SELECT count(*) FROM pg_prepared_statements WHERE from_sql), (SELECT count(*) FROM pg_cursors WHERE name <> ''),
       (SELECT count(*) FROM pg_listening_channels()),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
       (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
       (SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()),
       (SELECT string_agg(name, ' ') FROM pg_settings WHERE source = 'session' AND setting <> reset_val AND name NOT IN  -- these the pooler sets for each client
        ('application_name', 'client_encoding', 'DateStyle', 'standard_conforming_strings', 'TimeZone')
        AND name NOT LIKE 'transaction%')
FROM pg_settings WHERE name = 'search_path'
"""


def assert_clean(pooled: str) -> None:
    """Of all sessions that a pooler has, none holds anything."""
    with contextlib.ExitStack() as stack:
        for _ in range(8):  # at once, and so in every one of them
            connection = stack.enter_context(psycopg.connect(pooled))
            assert connection.execute(SESSION.encode()).fetchone() == (True, True, 0, 0, 0, 0, 0, 0, None)
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
                connection.execute("SELECT lastval()")
