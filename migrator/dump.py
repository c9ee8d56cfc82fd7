"""PostgreSQL's own tools: pg_dump and psql, given the connection by their environment so that no password is in a command line."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psycopg

from migrator.errors import DatabaseCommandFailed, InvalidMigration
from migrator.sessions import UNHINDERED, refusal
from migrator.statements import split

# What belongs to the server or to roles, and not to the schema a program sees. Privileges follow by themselves, as the server
# may refuse some of them.
_NO = (
    "--no-owner",
    "--no-privileges",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
)
_HEAD = (b"--", b"\\", b"SET ", b"SELECT pg_catalog.set_config(")
# The transaction has begun by then, so the session's default is too late for it.
_FIRST = f"SET transaction_read_only = off; {UNHINDERED.format('true')};\n".encode()
_PRIVILEGES = re.compile(r"\d+; \d+ \d+ (DEFAULT )?ACL ")
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
    with tempfile.TemporaryFile(dir=folder) as said_by_psql, tempfile.TemporaryFile(dir=folder) as said_by_dump:
        psql = run_script(target, said_by_psql)
        assert psql.stdin is not None
        failed = ""
        for options in dumps:
            dump = [tool("pg_dump"), *_NO, LOCK_WAIT, *options]
            with subprocess.Popen(
                dump, stdout=subprocess.PIPE, stderr=said_by_dump, env=environment(source)
            ) as dumping:
                assert dumping.stdout is not None
                pour(dumping.stdout, psql.stdin)
            if dumping.returncode:
                # Without a reader it was psql that gave up. Else the transaction must not be committed half.
                failed = "psql" if dumping.returncode == -signal.SIGPIPE else "pg_dump"
                psql.kill()
                break
        with contextlib.suppress(BrokenPipeError):
            psql.stdin.close()
        if psql.wait() and not failed:
            failed = "psql"
        if failed:
            file = said_by_dump if failed == "pg_dump" else said_by_psql
            file.seek(0)
            raise failure(failed, file.read().decode(errors="replace"))


def copy_privileges(source: str, target: psycopg.Connection, folder: Path) -> list[str]:
    """Grants in a copy of a database what is granted in it, so far as the server lets the copy's owner.

    Args:
        source: connection string of the database.
        target: connection to the copy, in autocommit mode.
        folder: for the tools' files.

    Returns:
        What the server refused, and why.

    Raises:
        DatabaseCommandFailed: one of the tools failed.
    """
    with tempfile.TemporaryDirectory(dir=folder) as made:
        whole, wanted = Path(made, "dump"), Path(made, "list")
        options = ["--schema-only", "--no-owner", "--format=custom", LOCK_WAIT]
        _said_by("pg_dump", *options, f"--file={whole}", env=environment(source))
        listed = _said_by("pg_restore", "--list", str(whole)).splitlines()
        wanted.write_text("\n".join(line for line in listed if _PRIVILEGES.match(line)))
        script = _said_by("pg_restore", f"--use-list={wanted}", "--file=-", str(whole))
    lines = script.splitlines(keepends=True)
    left: list[str] = []
    notices: list[str] = []
    # Where the owner has a privilege that it may not pass on, the server warns and goes on.
    target.add_notice_handler(lambda said: notices.append(f"{said.message_primary}"))
    for statement in split("".join(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))):
        # Whoever has granted it there, here it is the copy's owner; SET SESSION AUTHORIZATION would need a superuser.
        if statement.words[:1] not in (("GRANT",), ("REVOKE",), ("ALTER",)):
            continue
        notices.clear()
        try:
            why = refusal(target, statement.text.encode())
        except psycopg.Error as error:
            raise DatabaseCommandFailed(
                f"the privileges cannot be copied: {' '.join(str(error).split())}", sqlstate=error.sqlstate or ""
            ) from None
        left += [f"{statement.shortened(120)}: {each}" for each in ([why] if why else notices)]
    return left


def _said_by(program: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([tool(program), *arguments], env=env, capture_output=True, check=False)
    if done.returncode:
        raise failure(program, done.stderr.decode(errors="replace"))
    return done.stdout.decode()


def run_script(target: str, said: IO[bytes]) -> subprocess.Popen[bytes]:
    """Starts a psql that runs the script in its standard input in one transaction: killed before the end, it has done nothing.

    Args:
        target: connection string.
        said: where its errors go.
    """
    command = [tool("psql"), "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    psql = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=environment(target)
    )
    assert psql.stdin is not None
    psql.stdin.write(_FIRST)  # into the buffer: should psql have given up, who pours notices
    return psql


def pour(script: IO[bytes], psql: IO[bytes]) -> None:
    """Hands a script of pg_dump or pg_restore on to psql, but for the settings that only newer servers know.

    From 17 on the tools begin every script with `SET transaction_timeout = 0`, and a server of 16 refuses it.
    A psql that has given up is no error here: its exit code tells.
    """
    with contextlib.suppress(BrokenPipeError):
        for line in script:
            if line.strip() != b"SET transaction_timeout = 0;":
                psql.write(line)
            if line.strip() and not line.startswith(_HEAD):
                break
        shutil.copyfileobj(script, psql, 1 << 20)


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
