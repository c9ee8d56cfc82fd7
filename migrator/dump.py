"""PostgreSQL's own tools: pg_dump and psql, given the connection by their environment so that no password is in a command line."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import psycopg

from migrator.errors import DatabaseCommandFailed, InvalidMigration
from migrator.redaction import without_rows
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


def copy(
    source: str,
    target: str,
    rows: Sequence[str] | None,
    folder: Path,
    snapshot: str = "",
    fill: Callable[[], None] | None = None,
) -> list[str]:
    """Fills a database with the schema of another, and with rows.

    Args:
        source: connection string.
        target: connection string.
        rows: options of pg_dump that select tables, and none of them no rows; None for all rows.
        folder: for the tools' files; a pod's root cannot be written to.
        snapshot: that all of it is of, as the server has exported it.
        fill: puts rows into the tables itself, which have no constraints, indexes and triggers yet.

    Returns:
        What the role may not make, such as an event trigger, where nothing else needs it.

    Raises:
        InvalidMigration: the tools are not installed.
        DatabaseCommandFailed: one of them failed; the text is its own.
    """
    options = [*_NO, LOCK_WAIT, *([f"--snapshot={snapshot}"] if snapshot else [])]
    with tempfile.TemporaryDirectory(dir=folder) as made:
        whole, wanted = Path(made, "dump"), Path(made, "list")
        # Materialized views are filled after the rows, if there are any.
        filled = rows is None or fill is not None
        schema = ["--section=pre-data", "--section=post-data"] if filled else ["--schema-only"]
        _said_by("pg_dump", *options, *schema, "--format=custom", f"--file={whole}", env=environment(source))
        listed = _said_by("pg_restore", "--list", str(whole)).splitlines()
        # That an extension's comment can be set takes its owner, whom nothing here needs.
        wanted.write_text("\n".join(line for line in listed if " COMMENT - EXTENSION " not in line))
        sections = [
            _said_by("pg_restore", *_NO, f"--use-list={wanted}", f"--section={section}", "--file=-", str(whole))
            for section in ("pre-data", "post-data")
        ]
        lacking = _apply(target, sections[0], Path(made))
        if rows is None or rows:
            which = ["--section=data"] if rows is None else ["--data-only", *rows]
            pour_dump(source, target, [*options, *which], folder)
        if fill:
            fill()
        return lacking + _apply(target, sections[1], Path(made))


def _apply(target: str, script: str, folder: Path) -> list[str]:
    """Runs a script of pg_restore in one transaction; gives what of it the role was not allowed to do, or the rehearsal does not do.

    Raises:
        DatabaseCommandFailed: the server refused a part for another reason, such as that it needs what was not allowed.
    """
    errors = _errors(target, script, folder, stop=True)
    if errors and errors[0][0] in _LEFT_OUT:
        # Once more, statement by statement: what is refused is left out, and what needs it fails for a reason of its own.
        errors = _errors(target, script, folder, stop=False)
    allowed = [message for state, message in errors if state in _LEFT_OUT]
    others = [each for each in errors if each[0] not in _LEFT_OUT]
    if others:
        state, message = others[0]
        text = f"psql: {message}" + (f" (before that: {allowed[0]})" if allowed else "")
        hint = _WITHOUT if allowed else failure("psql", message).hint
        raise DatabaseCommandFailed(text, hint=hint, sqlstate=state)
    return allowed


_LEFT_OUT = (
    "42501",
    "25006",
)  # 25006 is what `isolation` answers, such as to a materialized view that asks another server
_WITHOUT = "An administrator can make it trusted, put the extension into template1, or let this role make it."
# As psql writes it with VERBOSITY verbose, in whatever language the server speaks.
_ERROR = re.compile(r"^(?:psql:\S+ )?\S+: +([0-9A-Z]{5}): (.*)$")


_COPY = re.compile(r"COPY [^:\"\n]+\d+")


def _errors(target: str, script: str, folder: Path, *, stop: bool) -> list[tuple[str, str]]:
    """Runs a script in one transaction; gives SQLSTATE and message of what the server refused.

    Args:
        target: connection string.
        script: of pg_restore.
        folder: for what psql says.
        stop: at the first error, with nothing done; else each statement is for itself.
    """
    how = ["--set=ON_ERROR_STOP=1"] if stop else ["--set=ON_ERROR_ROLLBACK=on"]
    with tempfile.TemporaryFile(dir=folder) as said:
        psql = run_script(target, said, [*how, "--set=VERBOSITY=verbose"])
        assert psql.stdin is not None
        pour(io.BytesIO(script.encode()), psql.stdin)
        with contextlib.suppress(BrokenPipeError):
            psql.stdin.close()
        code = psql.wait()
        said.seek(0)
        text = said.read().decode(errors="replace")
    found = _states(text)
    errors = [each for each in found if not each[0].startswith(("00", "01"))]
    if code and not errors:
        raise failure("psql", text)
    return errors


def _states(said: str) -> list[tuple[str, str]]:
    """SQLSTATE and message of the errors in what psql says, without what is in rows."""
    found = [(m[1], m[2]) for m in map(_ERROR.match, said.splitlines()) if m]
    return [(state, without_rows(state, message)[0]) for state, message in found]


def pour_dump(source: str, target: str, options: Sequence[str], folder: Path | None = None) -> None:
    """Runs what pg_dump says of a database in another, in one transaction.

    Args:
        source: connection string.
        target: connection string.
        options: of pg_dump.
        folder: for what the tools say; default: for temporary files.

    Raises:
        DatabaseCommandFailed: one of the tools failed; the text is its own.
    """
    with tempfile.TemporaryFile(dir=folder) as said_by_psql, tempfile.TemporaryFile(dir=folder) as said_by_dump:
        psql = run_script(target, said_by_psql)
        assert psql.stdin is not None
        failed = ""
        with subprocess.Popen(
            [tool("pg_dump"), *options], stdout=subprocess.PIPE, stderr=said_by_dump, env=environment(source)
        ) as dumping:
            assert dumping.stdout is not None
            pour(dumping.stdout, psql.stdin)
        if dumping.returncode:
            # Without a reader it was psql that gave up. Else the transaction must not be committed half.
            failed = "psql" if dumping.returncode == -signal.SIGPIPE else "pg_dump"
            psql.kill()
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


def run_script(
    target: str, said: IO[bytes], how: Sequence[str] = ("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose")
) -> subprocess.Popen[bytes]:
    """Starts a psql that runs the script in its standard input in one transaction: killed before the end, it has done nothing.

    Args:
        target: connection string.
        said: where its errors go.
        how: further options.
    """
    command = [tool("psql"), "--no-psqlrc", "--quiet", "--single-transaction", *how]
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
    if program == "psql" and (errors := [each for each in _states(said) if each[0] >= "03"]):
        # Detail and context have rows in them, but for the place.
        place = _COPY.search(said)
        lines = [f"{message} (SQLSTATE {state})" + (f", {place.group()}" if place else "") for state, message in errors]
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
