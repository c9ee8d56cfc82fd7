"""Backups of a database: `pg_dump` in its custom format, proven to be readable before it counts, and a manifest.

A backup `<id>` is three objects of a store: `<id>.dump`, `<id>.schema` (the fingerprint, see `fingerprint`) and `<id>.json`
(the manifest). The manifest is written last, so whatever was killed half way has none, and is no backup; the next run
removes it. Dump, fingerprint and the counts of rows are of one and the same moment: they share the server's snapshot.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from migrator import dump, fingerprint, marks
from migrator.database import target as target_of
from migrator.errors import BackupUnusable, DatabaseCommandFailed, InvalidMigration, MigratorError, StoreFailed
from migrator.job import Words
from migrator.marks import Mark, Owner
from migrator.progress import telling
from migrator.scratch import PROOF, Scratch, name_for
from migrator.sessions import Log, connect, conninfo, unhindered
from migrator.settings import Settings
from migrator.stores import Store

_FORMAT = 1
_CHUNK = 1 << 20
_NOTHING = """
SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f'))
"""
# What pg_dump takes rows of: neither system tables, nor other sessions' temporary ones, nor what an extension brings. But of
# what an extension brings to be filled by its users, those rows that it says are theirs; the server's own extensions have none.
_TABLES = """
SELECT n.nspname, c.relname, '' FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT n.nspname, c.relname, coalesce(f.condition, '') FROM pg_catalog.pg_extension x,
  unnest(x.extconfig, x.extcondition) f (oid, condition)
JOIN pg_catalog.pg_class c ON c.oid = f.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND x.oid >= 16384
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Manifest:
    """What a backup is.

    Attributes:
        id: its name.
        module: whose database.
        version: the version that served; empty where none did.
        target: the version that was to be migrated to.
        created: UTC, ISO 8601, to the second.
        database: its name.
        server: the server's version.
        size: bytes of the dump.
        sha256: of the dump.
        entries: in the dump's table of contents.
        schema: digest of the fingerprint.
        rows: table -> rows.
    """

    id: str
    module: str
    version: str
    target: str
    created: str
    database: str
    server: str
    size: int
    sha256: str
    entries: int
    schema: str
    rows: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Reads a manifest.

        Raises:
            ValueError: it is none.
        """
        value = json.loads(text)
        if not isinstance(value, dict) or value.pop("format", None) != _FORMAT:
            raise ValueError("not a manifest of this format")
        try:
            return cls(**value)
        except TypeError as error:
            raise ValueError(str(error)) from None

    def summary(self) -> dict[str, Any]:
        """Everything but the single tables."""
        told = asdict(self)
        return {**told, "rows": sum(self.rows.values()), "tables": len(self.rows)}


def take(
    environment: Mapping[str, str], store: Store, *, module: str, version: str, target: str, keep: int, log: Log
) -> Words:
    """Backs the database of POSTGRES_URI up, proves it, and removes backups beyond those to be kept.

    Args:
        environment: holds POSTGRES_URI, limits, and whose the database must be if it has a mark.
        store: where to.
        module: whose database.
        version: that serves; empty where none does.
        target: that is to be migrated to.
        keep: how many backups to keep, this one included; 0 removes none.
        log: where lines for people go.

    Raises:
        MigratorError: there is no backup; earlier ones are as they were.
    """
    uri = environment.get("POSTGRES_URI", "")
    if not uri:
        raise InvalidMigration("POSTGRES_URI is not set", hint="Set it to postgresql://user:password@host/database.")
    settings = Settings.from_environment(environment)
    for name in leftovers(store.names()):
        store.delete(name)
        log(f"removed {name}, which an earlier run did not finish")
    begun = time.monotonic()
    with contextlib.closing(connect(uri, settings, log, name="backup")) as connection:
        if environment.get("ROLLOUT_STACK"):
            [found] = marks.databases(connection, str(_value(connection, "SELECT current_database()")))
            marks.is_live(found, Owner.of(environment))
        row = connection.execute(_NOTHING.encode()).fetchone()
        if row and row[0]:
            log("the database holds no tables: there is nothing to back up")
            return {"outcome": "skipped", "message": "the database holds no tables: there was nothing to back up"}
        try:
            manifest, why = _written(connection, environment, store, (module, version, target), log)
        except BaseException:
            with contextlib.suppress(StoreFailed):  # the next run removes it
                for name in leftovers(store.names()):
                    store.delete(name)
            raise
    store.begin(f"{manifest.id}.json", [manifest.to_json()])
    store.finish(f"{manifest.id}.json")
    log(f"backup {manifest.id}: {manifest.size} bytes, read back whole ({time.monotonic() - begun:.1f} s)")
    message = f"this role could not restore it, only an administrator could: {why}" if why else ""
    if message:
        log(message)
    removed = beyond(kept(store), manifest.id, keep)
    for old in removed:
        remove(store, old)
        log(f"backup {old} removed: {keep} are kept")
    return {"outcome": "backed up", "backup": manifest.summary(), "removed": removed, "message": message}


def _written(
    connection: psycopg.Connection, environment: Mapping[str, str], store: Store, of: tuple[str, str, str], log: Log
) -> tuple[Manifest, str]:
    """Writes dump and fingerprint, and reads the dump back; gives the manifest, and why this role could not restore it."""
    uri = conninfo(environment["POSTGRES_URI"])
    module, version, target = of
    now = datetime.now(UTC).replace(microsecond=0)
    parts = [now.strftime("%Y%m%dT%H%M%SZ"), *([version] if version else []), "to", target]
    name = "-".join(parts)
    written = Digest()
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # It is silent while pg_dump works, and counts for longer than others' statements may last.
        unhindered(connection)
        connection.execute("SET LOCAL row_security = off")
        snapshot = str(_value(connection, "SELECT pg_catalog.pg_export_snapshot()"))
        with telling(log, "counting the rows"):
            schema = fingerprint.take(connection)
            rows = counted(connection)
        database = str(_value(connection, "SELECT current_database()"))
        server = str(_value(connection, "SELECT current_setting('server_version')"))
        log(f"backing {database} up: {len(rows)} tables, {sum(rows.values())} rows")
        with telling(log, "dumping", lambda: written.size):
            store.begin(f"{name}.dump", written.over(_dumped(uri, snapshot)))
        # The schema is of the same moment, which ends with this transaction.
        why = unrestorable(environment, uri, snapshot, log)
    entries = verify(store, f"{name}.dump", written.sha256, written.size, len(rows), log)
    store.begin(f"{name}.schema", [schema.to_json().encode()])
    for suffix in ("dump", "schema"):
        store.finish(f"{name}.{suffix}")
    made = Manifest(
        name, module, version, target, now.isoformat(), database, server, written.size, written.sha256, entries,
        schema.digest, rows,
    )  # fmt: skip
    return made, why


def unrestorable(environment: Mapping[str, str], uri: str, snapshot: str, log: Log) -> str:
    """Makes the schema once more in a scratch database, as a restore by this role would.

    What an administrator has put into a database, such as an event trigger, is in its dump; who cannot make it cannot restore that.

    Args:
        environment: holds the connection, and whose the scratch database is.
        uri: connection string of the database.
        snapshot: that the dump is of.
        log: where lines for people go.

    Returns:
        Why the role could not; empty if it could.
    """
    if not environment.get("ROLLOUT_STACK"):
        return ""  # by hand, for nobody: nothing is made beside the database
    settings = Settings.from_environment(environment)
    try:
        live = target_of(environment)
        mark = Mark.of(Owner.of(environment), PROOF, live.name)
        copy = Scratch.named(name_for(live.name, PROOF, secrets.token_hex(4)), mark, live.conninfo)
        try:
            with telling(log, "making the schema in a scratch database"):
                copy.make_like(live, settings, log)
                dump.pour_dump(uri, copy.conninfo, ["--schema-only", f"--snapshot={snapshot}", dump.LOCK_WAIT])
        finally:
            copy.drop(settings, log)
    except MigratorError as error:
        return f"{error.message}. {error.hint}".rstrip(". ")
    return ""


def counted(connection: psycopg.Connection) -> dict[str, int]:
    """The rows of every table that are in a dump, by its qualified name; counted, which costs less than the dump that reads them too."""
    rows = {}
    with connection.transaction(force_rollback=True):
        # As pg_dump has it, for an extension's conditions.
        connection.execute("SET LOCAL search_path TO ''")
        for schema, table, condition in connection.execute(_TABLES.encode()).fetchall():
            name = sql.Identifier(str(schema), str(table)).as_string(connection)
            what = f"{name} {condition}" if condition else f"ONLY {name}"
            rows[name] = int(_value(connection, f"SELECT count(*) FROM {what}"))
    return rows


def verify(store: Store, name: str, sha256: str, size: int, tables: int, log: Log) -> int:
    """Reads a dump as a restore would, all of it.

    Args:
        store: that it is in.
        name: of the object.
        sha256: that it must have.
        size: bytes that it must have.
        tables: whose rows must be in it.
        log: where lines for people go.

    Returns:
        The number of entries in its table of contents.

    Raises:
        BackupUnusable: it cannot be read, or is another.
    """
    read = Digest()
    with telling(log, "reading the dump back", lambda: read.size, size):
        feed(["--file=/dev/null"], read.over(store.read(name)))
    if (read.sha256, read.size) != (sha256, size):
        raise BackupUnusable(
            f"what is read back is not what was written: {read.size} bytes of {size}, SHA-256 {read.sha256[:12]}… for {sha256[:12]}…",
            hint="The storage lost or changed it. Do not rely on this store before that is understood.",
        )
    listed = [line for line in feed(["--list"], store.read(name), partly=True).splitlines() if line and line[0] != ";"]
    with_rows = sum(" TABLE DATA " in line for line in listed)
    if with_rows != tables:
        raise BackupUnusable(f"the dump has the rows of {with_rows} tables, the database has {tables}")
    return len(listed)


def feed(options: Sequence[str], chunks: Iterable[bytes], *, partly: bool = False, target: str = "") -> str:
    """Runs pg_restore on a dump that is handed to it piece by piece.

    Args:
        options: of it.
        chunks: of the dump.
        partly: it need not read all.
        target: connection string of the database in which psql is to run the script that it writes, as one transaction.

    Returns:
        What it wrote to its standard output, where no database took it.

    Raises:
        BackupUnusable: it cannot read the dump.
        DatabaseCommandFailed: the server refused a part of it.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as said_by_psql, tempfile.TemporaryFile() as out:
        psql = dump.run_script(target, said_by_psql) if target else None
        process = subprocess.Popen(
            [dump.tool("pg_restore"), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if psql else out,
            stderr=said,
        )
        assert process.stdin is not None
        pouring = threading.Thread(target=_pour, args=(process, psql)) if psql else None
        if pouring:
            pouring.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                for chunk in chunks:
                    process.stdin.write(chunk)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
            if code == 0 and not partly:
                for _ in chunks:  # what is left is part of the digest
                    pass
            if pouring and psql and psql.stdin:
                pouring.join()
                # Without a reader it was psql that gave up. Else it commits, if all has been written.
                if code == -signal.SIGPIPE:
                    psql.wait()
                elif code == 0:
                    with contextlib.suppress(BrokenPipeError):
                        psql.stdin.close()
                    psql.wait()
        finally:
            for each in (process, psql):
                if each and each.poll() is None:
                    each.kill()
                    each.wait()
            if pouring:
                pouring.join()
            for each in (process, psql):
                with contextlib.suppress(OSError):
                    if each and each.stdin:
                        each.stdin.close()
        for file in (said, said_by_psql, out):
            file.seek(0)
        if psql and psql.returncode and code in (0, -signal.SIGPIPE):
            raise dump.failure("psql", said_by_psql.read().decode(errors="replace"))
        if code:
            lines = [line for line in said.read().decode(errors="replace").splitlines() if line.strip()]
            raise BackupUnusable(
                f"the dump cannot be read: {' '.join(lines[:2]) or f'pg_restore ended with {code}'}",
                hint="It is damaged or incomplete.",
            )
        return out.read().decode(errors="replace")


def _pour(process: subprocess.Popen[bytes], psql: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert psql.stdin is not None
    with process.stdout:  # pg_restore ends when nobody reads any more
        dump.pour(process.stdout, psql.stdin)


def kept(store: Store) -> list[Manifest]:
    """The complete backups, newest first.

    Raises:
        StoreFailed: the store cannot be read.
    """
    found = []
    for name in store.names():
        if name.endswith(".json"):
            with contextlib.suppress(ValueError):  # not ours
                manifest = Manifest.from_json(b"".join(store.read(name)))
                if f"{manifest.id}.json" == name:  # by which its other parts are found
                    found.append(manifest)
    return sorted(found, key=lambda each: each.created, reverse=True)


def leftovers(names: Iterable[str]) -> list[str]:
    """What belongs to no complete backup: of a run that was killed."""
    names = list(names)
    complete = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    return [
        name
        for name in names
        if name.endswith(".partial")
        or (name.endswith((".dump", ".schema")) and name.rpartition(".")[0] not in complete)
    ]


def beyond(found: Sequence[Manifest], made: str, keep: int) -> list[str]:
    """The backups that are no longer kept.

    The one just made always is. So is the first of the upgrade it belongs to: a migration that commits step by step and is
    tried again and again must not push out the one backup from before its first step.

    Args:
        found: newest first.
        made: the one just made.
        keep: how many; 0 removes none.
    """
    newest = next((each for each in found if each.id == made), None)
    first = made
    for each in found:
        if newest is None or (each.version, each.target) != (newest.version, newest.target):
            break
        first = each.id
    return [each.id for each in found[keep:] if each.id not in (made, first)] if keep else []


def remove(store: Store, backup: str) -> None:
    """Deletes a backup, its manifest first: what is left after a kill is no backup."""
    for suffix in ("json", "schema", "dump"):
        store.delete(f"{backup}.{suffix}")


def find(store: Store, wanted: str) -> Manifest:
    """One backup; the newest where none is named.

    Raises:
        StoreFailed: there is no such backup.
    """
    found = kept(store)
    for each in found:
        if wanted in ("", each.id):
            return each
    known = ", ".join(each.id for each in found[:5]) or "none"
    raise StoreFailed(f"there is no backup {wanted}".rstrip(), hint=f"There are: {known}.")


def listed(environment: Mapping[str, str], store: Store, log: Log) -> Words:
    """The backups there are, and how large the database is now, so far as it can be asked."""
    now: dict[str, Any] | None = None
    try:
        settings = Settings.from_environment(environment, connect_budget=3.0)
        with contextlib.closing(
            connect(environment.get("POSTGRES_URI", ""), settings, log, name="backups")
        ) as connection:
            connection.execute("SET statement_timeout = '5s'")
            size, rows, name = connection.execute(
                "SELECT pg_database_size(current_database()), (SELECT coalesce(sum(n_live_tup), 0)"
                " FROM pg_catalog.pg_stat_user_tables), current_database()"
            ).fetchall()[0]
            now = {"database": str(name), "bytes": int(size), "rows": int(rows)}
    except (MigratorError, psycopg.Error) as error:
        log(f"the database cannot be asked: {error}")
    return {"outcome": "listed", "backups": [each.summary() for each in kept(store)], "now": now}


class Checked:
    """A dump whose bytes were compared with the manifest before any of them is used.

    What is read a second time is compared block by block with the first: a store may change in between, and what is in a dump is SQL
    that the server is to run.

    Attributes:
        size: bytes.
    """

    def __init__(self, store: Store, name: str, size: int, blocks: Sequence[bytes]) -> None:
        self._store, self._name, self.size, self._blocks = store, name, size, blocks

    @classmethod
    def read(cls, store: Store, manifest: Manifest, log: Log) -> Checked:
        """Reads a dump whole.

        Raises:
            BackupUnusable: it is not the manifest's.
            StoreFailed: it cannot be read.
        """
        name, whole, blocks = f"{manifest.id}.dump", Digest(), []
        with telling(log, "checking the dump", lambda: whole.size, manifest.size):
            blocks = [hashlib.sha256(block).digest() for block in _blocks(whole.over(store.read(name)))]
        if (whole.sha256, whole.size) != (manifest.sha256, manifest.size):
            raise BackupUnusable(
                f"backup {manifest.id} is damaged: {whole.size} bytes with SHA-256 {whole.sha256[:12]}…, "
                f"the manifest says {manifest.size} with {manifest.sha256[:12]}…",
                hint="Take another backup: `backups` lists them.",
            )
        return cls(store, name, whole.size, blocks)

    def chunks(self) -> Iterator[bytes]:
        """The bytes.

        Raises:
            BackupUnusable: they are others by now.
        """
        expected = iter(self._blocks)
        for block in _blocks(self._store.read(self._name)):
            if hashlib.sha256(block).digest() != next(expected, None):
                raise self._changed()
            yield block
        if next(expected, None) is not None:
            raise self._changed()

    def _changed(self) -> BackupUnusable:
        return BackupUnusable(
            f"{self._name} was changed while it was restored", hint="Find out who writes to the place of the backups."
        )


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of one size, but for the last."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= _CHUNK:
            yield bytes(held[:_CHUNK])
            del held[:_CHUNK]
    if held:
        yield bytes(held)


def fingerprint_of(store: Store, manifest: Manifest) -> fingerprint.Snapshot:
    """The fingerprint of the schema that was backed up.

    Raises:
        BackupUnusable: it is not the manifest's.
        StoreFailed: it cannot be read.
    """
    text = b"".join(store.read(f"{manifest.id}.schema"))
    try:
        found = fingerprint.Snapshot.from_json(text)
    except (ValueError, MigratorError):
        found = None
    if found is None or found.digest != manifest.schema:
        raise BackupUnusable(
            f"backup {manifest.id} is damaged: its fingerprint of the schema is not the manifest's",
            hint="Take another backup: `backups` lists them.",
        )
    return found


class Digest:
    """Size and SHA-256 of what passes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def over(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def _dumped(uri: str, snapshot: str) -> Iterator[bytes]:
    """The database as pg_dump writes it, of the moment of a snapshot."""
    command = [dump.tool("pg_dump"), "--format=custom", f"--snapshot={snapshot}", dump.LOCK_WAIT]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=dump.environment(uri))
        assert process.stdout is not None
        try:
            while chunk := process.stdout.read(_CHUNK):
                yield chunk
            code = process.wait()
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.kill()
                process.wait()
        if code:
            said.seek(0)
            raise dump.failure("pg_dump", said.read().decode(errors="replace"))


def _value(connection: psycopg.Connection, query: str) -> Any:
    try:
        row = connection.execute(query.encode()).fetchone()
    except psycopg.Error as error:
        raise DatabaseCommandFailed(
            f"the database cannot be read: {error.diag.message_primary or error}",
            hint=error.diag.message_hint or "",
            sqlstate=error.sqlstate or "",
        ) from None
    return row[0] if row else None
