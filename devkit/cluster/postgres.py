"""Our own PostgreSQL: its own data directory and port, apart from one that Debian may run."""

from __future__ import annotations

import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from devkit import paths
from devkit.cluster import config, files, packages, pki, processes
from devkit.cluster.errors import ComponentError, PackagesError
from devkit.cluster.processes import Component

USER = "postgres"
ADMIN = "rollout_admin"


def _directory() -> Path:
    return paths.state_dir() / "postgresql"


def data_directory() -> Path:
    """PostgreSQL's data directory."""
    return _directory() / "data"


def _socket_directory() -> Path:
    return paths.run_dir() / "postgresql"


def _bin() -> Path:
    directory = packages.postgresql_bin()
    if directory is None:
        raise PackagesError("no PostgreSQL server of version 15 or newer is installed")
    return directory


def prepare() -> Component:
    """PostgreSQL, with its data directory and configuration made where missing."""
    owner = pwd.getpwnam(USER)
    for directory in (_directory(), _socket_directory()):
        directory.mkdir(parents=True, exist_ok=True)
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    authority = pki.Authority(paths.state_dir() / "pki" / "postgres", "rollout-devkit-postgres")
    pair = authority.server("server", "postgres", "localhost", "127.0.0.1", config.ADDRESS)
    # The server refuses a key that others may read, and does not run as root: so it gets a copy of its own.
    key = _directory() / "server.key"
    files.write(key, pair.key.read_bytes(), 0o600)
    os.chown(key, owner.pw_uid, owner.pw_gid)
    _initialise()
    configs = {
        _directory() / "postgresql.conf": _configuration(pair.certificate, key),
        _directory() / "pg_hba.conf": _authentication(),
        _directory() / "pg_ident.conf": f"# map  system user  role\nadmin  root  {USER}\nadmin  {USER}  {USER}\n",
    }
    for path, text in configs.items():
        files.write(path, text)
    if not (paths.state_dir() / "postgres.json").exists():
        files.write_json(
            paths.state_dir() / "postgres.json",
            {
                "host": config.ADDRESS,
                "port": config.POSTGRES_PORT,
                "user": ADMIN,
                "password": secrets.token_urlsafe(24),
                "sslmode": "verify-full",
                "ca": str(authority.pair.certificate),
                "superuser_socket": str(_socket_directory()),
                "superuser": USER,
            },
            0o600,
        )
    argv = [str(_bin() / "postgres"), "-D", str(data_directory()), "-c", f"config_file={_directory()}/postgresql.conf"]
    return Component(
        "postgresql", argv, _healthy, list(configs), user=USER, stop=signal.SIGINT, cwd=data_directory(), patience=60
    )


def _initialise() -> None:
    """Make the data directory, under another name first: one that was interrupted is not taken for a finished one."""
    if data_directory().exists():
        return
    unfinished = data_directory().with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [
        str(_bin() / "initdb"), "--pgdata", str(unfinished), "--username", USER, "--auth=peer",
        "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
    ]  # fmt: skip
    result = subprocess.run(
        command, user=USER, group=USER, extra_groups=[], cwd=_directory(), capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        hint = f"the user {USER} must be able to reach {_directory()}"
        raise ComponentError("postgresql", f"initdb ended with {result.returncode} ({hint})", result.stderr)
    unfinished.rename(data_directory())


def _configuration(certificate: Path, key: Path) -> str:
    return f"""\
data_directory = '{data_directory()}'
hba_file = '{_directory()}/pg_hba.conf'
ident_file = '{_directory()}/pg_ident.conf'
listen_addresses = '127.0.0.1, {config.ADDRESS}'
port = {config.POSTGRES_PORT}
unix_socket_directories = '{_socket_directory()}'
max_connections = 300
ssl = on
ssl_cert_file = '{certificate}'
ssl_key_file = '{key}'
password_encryption = 'scram-sha-256'

shared_buffers = 256MB
shared_preload_libraries = 'pg_stat_statements'
# In files below the data directory, so that not even kill -9 leaves anything in /dev/shm.
dynamic_shared_memory_type = mmap
# A commit is handed to the kernel but not waited for until it is on the disk. It survives the end of every process,
# which is what is tested here, but not a power failure; then `down` and `up` make a new cluster.
fsync = off
full_page_writes = off
max_wal_size = 2GB

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C.UTF-8'
log_destination = 'stderr'
log_line_prefix = '%m [%p] app=%a user=%u db=%d '
log_min_error_statement = error
log_lock_waits = on
"""


def _authentication() -> str:
    return f"""\
# type   database  user       address         method
local    all       {USER}                   peer map=admin
hostssl  all       all        127.0.0.1/32    scram-sha-256
hostssl  all       all        {config.CLUSTER_CIDR}   scram-sha-256
"""


def _connect() -> psycopg.Connection[tuple[object, ...]]:
    """As superuser, through the Unix socket."""
    return psycopg.connect(
        host=str(_socket_directory()), port=config.POSTGRES_PORT, user=USER, dbname="postgres",
        autocommit=True, connect_timeout=3, application_name="devkit-cluster",
    )  # fmt: skip


def _healthy() -> bool:
    try:
        with _connect() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def ensure_admin() -> None:
    """Make the role that applications are administered with, or put its password and rights right."""
    info = json.loads((paths.state_dir() / "postgres.json").read_text(encoding="utf-8"))
    with _connect() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ADMIN]).fetchone()
        if exists:
            return
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE NOSUPERUSER PASSWORD {}").format(
                sql.Identifier(ADMIN), sql.Literal(info["password"])
            )
        )
        # DROP DATABASE ... WITH (FORCE) ends an autovacuum worker that happens to be there only for such a role.
        connection.execute(sql.SQL("GRANT pg_signal_backend TO {}").format(sql.Identifier(ADMIN)))


def clear_leftovers() -> None:
    """End what outlived a killed postmaster, and free the shared memory that it held.

    Its children notice its death on their own, but a new postmaster refuses to start while one is still busy.
    """
    processes.end(processes.working_in(data_directory()))
    # A killed postmaster that nobody has reaped yet still counts as alive for the next one, which then gives up.
    for file in _socket_directory().glob(f".s.PGSQL.{config.POSTGRES_PORT}*"):
        file.unlink()
    try:
        lines = (data_directory() / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    # Line 7: key and id of a small System V segment, by which PostgreSQL knows that nobody else uses the directory.
    found = re.fullmatch(r"\s*(\d+)\s+(\d+)", lines[6]) if len(lines) > 6 else None
    if found:
        subprocess.run(["ipcrm", "-m", found.group(2)], capture_output=True, check=False)
    (data_directory() / "postmaster.pid").unlink()
