"""A PostgreSQL server of a test's own, which may be stopped: the shared one is everybody's."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from devkit import paths
from devkit.cluster.postgres import USER, _bin


class PrivatePostgres:
    """The server; it and its data are gone at the end.

    Args:
        programs: folder of initdb and pg_ctl; default: those of the devkit cluster's server.
        host: where it listens; default: the devkit cluster's address, which pods reach.
    """

    def __init__(self, programs: Path | None = None, host: str = "") -> None:
        self._programs = programs or _bin()
        self._host = host or paths.postgres().host

    def __enter__(self) -> PrivatePostgres:
        self._folder = Path(tempfile.mkdtemp(prefix="rollout-postgres-", dir="/var/tmp"))
        shutil.chown(self._folder, USER, USER)
        self._data, self._password = self._folder / "data", secrets.token_hex(8)
        with socket.socket() as free:
            free.bind((self._host, 0))
            self._port = free.getsockname()[1]
        (password := self._folder / "password").write_text(self._password)
        shutil.chown(password, USER, USER)
        self._run("initdb", "-D", self._data, "-U", USER, f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync")
        with (self._data / "pg_hba.conf").open("a") as access:
            access.write("host all all all scram-sha-256\n")
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        options = f"-h {self._host} -p {self._port} -k {self._folder} -c fsync=off -c max_connections=50"
        self._run("pg_ctl", "start", "-w", "-D", self._data, "-l", self._folder / "log", "-o", options)

    def stop(self) -> None:
        """At once, as a crash of the machine would: clients' connections break."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", self._data)

    def configure(self, settings: str) -> None:
        """Starts it anew with other settings, written as in postgresql.conf."""
        self.stop()
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"{settings}\n")
        self.start()

    def become_standby(self) -> None:
        """It goes on as a standby does, whose primary is away."""
        self.stop()
        (self._data / "standby.signal").touch()
        self.start()

    def uri(self, database: str = "") -> str:
        path = f"/{database}" if database else ""
        return f"postgresql://{USER}:{self._password}@{self._host}:{self._port}{path}?sslmode=disable"

    def _run(self, command: str, *arguments: str | Path) -> None:
        full = [str(self._programs / command), *map(str, arguments)]
        # Into a file: a pipe would stay open for as long as the server runs.
        with (self._folder / "output").open("w+") as output:
            done = subprocess.run(
                full, user=USER, group=USER, extra_groups=[], cwd="/", stdout=output, stderr=output, check=False
            )
            output.seek(0)
            assert done.returncode == 0, f"{command}: {output.read()}"
