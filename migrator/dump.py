"""PostgreSQL's own tools: pg_dump and psql, given the connection by their environment so that no password is in a command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg

from migrator.errors import DatabaseCommandFailed, InvalidMigration

# What belongs to the server or to roles, and not to the schema a program sees.
_NO = (
    "--no-owner",
    "--no-privileges",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
)
LOCK_WAIT = "--lock-wait-timeout=5000"  # milliseconds; a dump queues behind DDL, and others behind the dump


def copy(source: str, target: str, dumps: Sequence[Sequence[str]], folder: Path) -> None:
    """Fills a database with dumps of another, in one transaction.

    Args:
        source: connection string.
        target: connection string.
        dumps: options of pg_dump, once for each dump, such as ``--schema-only``.
        folder: for what the tools say; a pod's root cannot be written to.

    Raises:
        InvalidMigration: the tools are not installed.
        DatabaseCommandFailed: one of them failed; the text is its own.
    """
    command = [tool("psql"), "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    with tempfile.TemporaryFile(dir=folder) as said_by_psql, tempfile.TemporaryFile(dir=folder) as said_by_dump:
        psql = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said_by_psql, env=environment(target)
        )
        assert psql.stdin is not None
        failed = ""
        for options in dumps:
            dump = [tool("pg_dump"), *_NO, LOCK_WAIT, *options]
            done = subprocess.run(dump, stdout=psql.stdin, stderr=said_by_dump, env=environment(source), check=False)
            if done.returncode:
                failed = "pg_dump"
                # The transaction must not be committed half: psql ends with an error on this.
                psql.stdin.write(b"\n\\set ON_ERROR_STOP 1\nSELECT 1/0;\n")
                break
        try:
            psql.stdin.close()
        except BrokenPipeError:
            pass
        if psql.wait() and not failed:
            failed = "psql"
        if failed:
            file = said_by_dump if failed == "pg_dump" else said_by_psql
            file.seek(0)
            raise failure(failed, file.read().decode(errors="replace"))


def failure(program: str, said: str) -> DatabaseCommandFailed:
    """What one of the tools said, with what to do about it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = " ".join(lines[:3]) or "no reason given"
    hint = ""
    if "server version mismatch" in said:
        hint = "The server is newer than the image's pg_dump: build the migrator's image with that PostgreSQL's client."
    elif "permission denied" in said and program == "pg_dump":
        hint = "The role must be able to read the whole schema."
    elif "extension" in said:
        hint = "The role cannot create the extension in another database: mark it trusted, or put it into template1."
    elif "canceling statement due to lock timeout" in said or "could not obtain lock" in said:
        hint = "Another session has a table locked; try again when it has ended."
    return DatabaseCommandFailed(f"{program}: {text}", hint=hint)


def tool(name: str) -> str:
    """The one in the PATH; Debian's there is a wrapper that needs Perl and asks about clusters, so the newest it has installed."""
    path = shutil.which(name)
    if path is None or Path(path).resolve().name == "pg_wrapper":
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
        path = str(found[-1]) if found else None
    if not path:
        raise InvalidMigration(f"{name} is not installed", hint="The migrator's image needs PostgreSQL's client.")
    return path


def environment(text: str) -> dict[str, str]:
    """The environment by which libpq finds a database; no variable of ours that could lead elsewhere is kept."""
    options = psycopg.pq.Conninfo.parse(text.encode())
    given = {o.envvar.decode(): o.val.decode() for o in options if o.envvar and o.val}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, **given}
