"""Through PgBouncer in transaction mode: once, without deadlock, and with nothing left in sessions of others."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import migrator
from migrator.errors import InvalidMigration
from tests.cluster.migrator.conftest import QUIET, Database

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

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
