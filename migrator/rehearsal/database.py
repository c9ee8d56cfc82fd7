"""The scratch database of a rehearsal: made and filled beside the real one, and dropped when the pod ends.

What belongs to the server, roles above all, has no scratch copy: see `shared`.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from migrator import database, dump, isolation, records, shared, traits
from migrator.errors import InvalidMigration, MigratorError
from migrator.marks import Mark, Owner, claim
from migrator.rehearsal import evidence, locks, sample
from migrator.rehearsal.serving import Serving
from migrator.scratch import REHEARSAL, Scratch
from migrator.sessions import Log, connect, conninfo, unhindered
from migrator.settings import Settings
from migrator.witness import Look

# Files of the pod's shared folder.
BEFORE, SERVER, STATEMENTS, SAMPLE, NOTICE, _OID = (
    "before.json", "server.json", "statements.json", "sample.json", "notice", "oid",
)  # fmt: skip
_SHOWN = 3
_HAS = {"schema": "schema", "copy": "schema and rows", "sample": "schema and some of the rows"}


@dataclass(frozen=True)
class Databases:
    """The real database and its scratch copy.

    Attributes:
        real: connection string.
        scratch: connection string.
        name: of the real one.
        owner: of both.
        copy: the scratch database, to make and drop.
    """

    real: str
    scratch: str
    name: str
    owner: Owner
    copy: Scratch

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Databases:
        """Reads POSTGRES_URI, SCRATCH_DATABASE, ROLLOUT_STACK and ROLLOUT_MODULE.

        Raises:
            InvalidMigration: a variable is missing.
            ForeignDatabase: SCRATCH_DATABASE is no name of a rehearsal's database.
        """
        uri, name = environment.get("POSTGRES_URI", ""), environment.get("SCRATCH_DATABASE", "")
        if not uri or not name:
            raise InvalidMigration("POSTGRES_URI or SCRATCH_DATABASE is not set", hint="Set both.")
        owner, real = Owner.of(environment), database.target(environment)
        mark = Mark.of(owner, REHEARSAL, real.name)
        copy = Scratch.named(name, mark, real.conninfo)
        return cls(conninfo(uri), conninfo(uri, dbname=name), real.name, owner, copy)

    @property
    def server(self) -> str:
        """Connection string of the maintenance database."""
        return self.copy.target.conninfo


def prepare(
    environment: Mapping[str, str], folder: Path, mode: str, limit: int, tables: Sequence[str], log: Log,
    statements: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Makes the scratch database anew and fills it.

    Args:
        environment: see `Databases.of`.
        folder: where the fingerprint before the migration is kept.
        mode: "schema"; "copy" for all rows too; "sample" for some rows of each table.
        limit: bytes above which only the schema is taken in spite of "copy"; rows of each table of a "sample".
        tables: whose rows are needed beside those of the migration tools' records.
        log: where lines for people go.
        statements: that the serving version is known to use, besides those that the server has seen.

    Raises:
        MigratorError: it cannot be made or filled.
    """
    where = Databases.of(environment)
    settings = Settings.from_environment({}, connect_budget=5.0)
    _claimed(where, settings, log)
    _made(where, folder, settings, log)
    isolation.isolate_empty(where.scratch, settings, log)
    notice = ""
    with (
        contextlib.closing(connect(where.real, settings, log, name="rehearsal")) as connection,
        connection.transaction(),
    ):
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        unhindered(connection)  # it is silent while pg_dump works
        [(size, snapshot)] = connection.execute(
            "SELECT pg_database_size(current_database()), pg_catalog.pg_export_snapshot()"
        ).fetchall()
        if mode == "copy" and size > limit:
            notice = f"the database has {size} bytes, above the limit of {limit}: rehearsed with its schema alone"
            log(notice)
            mode = "schema"
        whole = _with_sequences(connection, tables)
        # A sample brings them itself.
        options = [option for each in whole for option in ("--table", _pattern(*each))] if mode != "sample" else []
        sizes: dict[str, tuple[int, int]] = {}

        def fill() -> None:
            with contextlib.closing(unhindered(connect(where.scratch, settings, log, name="rehearsal"))) as copy:
                sizes.update(sample.fill(connection, copy, limit, whole, log))

        rows = None if mode == "copy" else options
        lacking = dump.copy(where.real, where.scratch, rows, folder, str(snapshot), fill if mode == "sample" else None)
        (folder / SAMPLE).write_text(json.dumps(sizes))
        with contextlib.closing(connect(where.server, settings, log, name="rehearsal")) as maintenance:
            seen = evidence.seen_by_server(connection, maintenance, where.name)
        large = evidence.large_tables(connection)
    with contextlib.closing(unhindered(connect(where.scratch, settings, log, name="rehearsal"))) as connection:
        free = isolation.isolate(connection)  # of what was poured in; before anything else
        lacking += _settings_copied(where, settings, log) + dump.copy_privileges(where.real, connection, folder)
        for line in lacking:
            log(f"not copied: {line}")
        (folder / BEFORE).write_text(Look.take(connection).to_json())
        (folder / SERVER).write_text(shared.Server.take(connection, where.name).to_json())
        if statements:
            seen = evidence.given(statements, seen)
        (folder / STATEMENTS).write_text(evidence.look(connection, seen, large, log).to_json())
    if lacking:
        more = f"; and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        lacks = f"the scratch database lacks what this role may not copy: {'; '.join(lacking[:_SHOWN])}{more}"
        notice = "; ".join(filter(None, [notice, lacks]))
    if free:
        reach = f"what this role may not hold back, and so may change something elsewhere: {', '.join(free)}"
        log(reach)
        notice = "; ".join(filter(None, [notice, reach]))
    (folder / NOTICE).write_text(notice)
    log(f"{where.copy.target.name} has the {_HAS[mode]} of the real database")
    return {"outcome": "prepared", "mode": mode, "message": notice}


def _claimed(where: Databases, settings: Settings, log: Log) -> None:
    """Refuses to rehearse what is another's; marks what has no mark, as it is about to be migrated."""
    with contextlib.closing(unhindered(connect(where.server, settings, log))) as connection:
        if why := claim(connection, where.name, where.owner):
            log(f"{where.name} cannot be marked as that of {where.owner}: {why}")


def _made(where: Databases, folder: Path, settings: Settings, log: Log) -> None:
    try:
        oid = where.copy.make(settings, log)
    except psycopg.Error as error:
        raise database.refused("create", where.copy.target, error) from None
    (folder / _OID).write_text(str(oid))


def dropped(where: Databases, folder: Path, settings: Settings, log: Log) -> list[str]:
    """Drops the scratch database; gives why it is still there."""
    known = folder / _OID
    try:
        where.copy.drop(settings, log, int(known.read_text()) if known.exists() else None)
    except MigratorError as error:
        log(f"{error.message}. {error.hint}")
        return [error.message]
    return []


def _settings_copied(where: Databases, settings: Settings, log: Log) -> list[str]:
    """Lets the migration find what it would find in the real database, such as a search_path; gives what could not be copied."""
    with contextlib.closing(unhindered(connect(where.server, settings, log))) as connection:
        return traits.copy_settings(connection, where.name, where.copy.target.name)


def take_back(where: Databases, touched: shared.Changes, settings: Settings, log: Log) -> list[str]:
    """Drops the roles that the rehearsal has made; gives those that are left."""
    left = {}
    if touched.made:
        try:
            with contextlib.closing(unhindered(connect(where.server, settings, log))) as connection:
                left = shared.take_back(connection, touched.made)
        except MigratorError as error:
            left = dict.fromkeys(touched.made.values(), error.message)
    for name in touched.made.values():
        log(f"role {name}, made by the rehearsal, {'is still there: ' + left[name] if name in left else 'dropped'}")
    return [f"role {name} made, and it cannot be dropped ({why})" for name, why in left.items()] + list(touched.own)


def hold(
    environment: Mapping[str, str], folder: Path, log: Log, serving: Serving | None = None, alive_port: int = 0
) -> dict[str, Any]:
    """Waits for SIGTERM, then drops the scratch database, and the roles that were made for it.

    Args:
        environment: see `Databases.of`.
        folder: of `prepare`.
        log: where lines for people go.
        serving: the serving version, to ask all through the migration; None if it is not started.
        alive_port: of its container's liveness probe.
    """
    where = Databases.of(environment)
    settings = Settings.from_environment({}, connect_budget=5.0)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server: shared.Server | None = None
    touched = shared.Changes()
    # Whether it can look at the server or not, it has to drop the database.
    looks = contextlib.suppress(MigratorError, psycopg.Error)
    with looks, contextlib.closing(connect(where.server, settings, log)) as connection:
        server = shared.Server.take(connection, where.name)
    log(f"{where.copy.target.name} is dropped when this ends")
    looking = (where.scratch, folder, folder / STATEMENTS, settings, log, stop)
    threading.Thread(target=locks.watch, args=looking, daemon=True).start()
    if serving:
        threading.Thread(target=serving.keep_alive, args=(alive_port, stop), daemon=True).start()
        threading.Thread(target=serving.watch, args=(stop,), daemon=True).start()
    stop.wait()
    if server:  # the migration may have failed, and there be no judge
        with looks, contextlib.closing(connect(where.server, settings, log)) as connection:
            touched = shared.changes(server, connection, where.name, where.copy.target.name)
    left = dropped(where, folder, settings, log)
    take_back(where, touched, settings, log)
    return {"outcome": "left" if left else "dropped", "message": "; ".join(left)}


_SEQUENCES = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  AND d.refobjid = {}::regclass
"""


def _with_sequences(connection: psycopg.Connection, tables: Sequence[str]) -> list[tuple[str, str]]:
    """The tables whose rows are copied, and the sequences that number those rows."""
    found = records.find(connection, tuple(tables))
    for schema, name in list(found):
        query = sql.SQL(_SEQUENCES).format(sql.Literal(sql.Identifier(schema, name).as_string(connection)))
        found += [(str(s), str(n)) for s, n in connection.execute(query).fetchall()]
    return found


def _pattern(schema: str, name: str) -> str:
    """For pg_dump's --table, taken literally."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))
