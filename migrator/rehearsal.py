"""A migration rehearsed on a scratch database beside the real one: the parts that the rehearsal's pod runs.

prepare   makes the scratch database and fills it with the schema, or all, of the real one
judge     after the new version's `migrate`: is the change safe for the version that serves, and does that still work?
hold      drops the scratch database at SIGTERM, whatever happened before

What belongs to the server, roles above all, has no scratch copy: see `shared`.

`components/rehearsal.py` has the pod that puts them together.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from migrator import database, dump, isolation, records, shared, traits
from migrator.compatibility import classify
from migrator.errors import InvalidMigration, MigratorError
from migrator.marks import Mark, Owner, claim
from migrator.scratch import REHEARSAL, Scratch
from migrator.sessions import Log, connect, conninfo, unhindered
from migrator.settings import Settings
from migrator.witness import Look, described, summary

_BEFORE, _SERVER, _NOTICE, _OID = "before.json", "server.json", "notice", "oid"
_SHOWN = 3
_POLL = 0.1


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


class Refused(MigratorError):
    """The rehearsal shows that the version that serves would not survive the migration."""

    outcome = "breaks"

    def __init__(self, message: str, hint: str, more: dict[str, object]) -> None:
        super().__init__(message, hint=hint)
        self.more = more


@dataclass(frozen=True)
class Probe:
    """A request to the serving version.

    Attributes:
        method: such as GET.
        path: with its query.
        body: JSON text, or empty.
        headers: by name.
        expect: the status; None is any below 500.
    """

    method: str
    path: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: int | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def prepare(
    environment: Mapping[str, str], folder: Path, mode: str, limit: int, tables: Sequence[str], log: Log
) -> dict[str, Any]:
    """Makes the scratch database anew and fills it.

    Args:
        environment: see `Databases.of`.
        folder: where the fingerprint before the migration is kept.
        mode: "schema", or "copy" for all rows too.
        limit: bytes above which only the schema is taken in spite of "copy".
        tables: whose rows are needed beside those of the migration tools' records.
        log: where lines for people go.

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
        options = [option for each in _with_sequences(connection, tables) for option in ("--table", _pattern(*each))]
        lacking = dump.copy(where.real, where.scratch, None if mode == "copy" else options, folder, str(snapshot))
    with contextlib.closing(unhindered(connect(where.scratch, settings, log, name="rehearsal"))) as connection:
        free = isolation.isolate(connection)  # of what was poured in; before anything else
        lacking += _settings_copied(where, settings, log) + dump.copy_privileges(where.real, connection, folder)
        for line in lacking:
            log(f"not copied: {line}")
        (folder / _BEFORE).write_text(Look.take(connection).to_json())
        (folder / _SERVER).write_text(shared.Server.take(connection, where.name).to_json())
    if lacking:
        more = f"; and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        lacks = f"the scratch database lacks what this role may not copy: {'; '.join(lacking[:_SHOWN])}{more}"
        notice = "; ".join(filter(None, [notice, lacks]))
    if free:
        reach = f"what this role may not hold back, and so may change something elsewhere: {', '.join(free)}"
        log(reach)
        notice = "; ".join(filter(None, [notice, reach]))
    (folder / _NOTICE).write_text(notice)
    log(f"{where.copy.target.name} has the {'schema' if mode == 'schema' else 'schema and rows'} of the real database")
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


def _dropped(where: Databases, folder: Path, settings: Settings, log: Log) -> list[str]:
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


def judge(
    environment: Mapping[str, str], folder: Path, port: int, health: str, probes: Sequence[Probe], *,
    seconds: float, contract: bool, previous: str, started: bool = True, log: Log,
) -> dict[str, Any]:  # fmt: skip
    """Compares the scratch database with before, and tries the serving version on it.

    Args:
        environment: see `Databases.of`.
        folder: of `prepare`.
        port: that the serving version listens on, in this pod.
        health: path that answers 200 once it is healthy; empty for none.
        probes: requests it must answer.
        seconds: for it to become healthy.
        contract: removing what only versions before it used is allowed.
        previous: the serving version, for the texts.
        started: it runs beside this; else only the schema is judged.
        log: where lines for people go.

    Raises:
        Refused: the change breaks the serving version.
        MigratorError: it could not be told.
    """
    where = Databases.of(environment)
    settings = Settings.from_environment({}, connect_budget=5.0)
    touched = shared.Changes()
    words: dict[str, Any] = {"changes": [], "findings": []}
    refused: Refused | None = None
    notices: list[str] = []
    try:
        before = Look.from_json((folder / _BEFORE).read_text())
        server = shared.Server.from_json((folder / _SERVER).read_text())
        with contextlib.closing(connect(where.scratch, settings, log, name="rehearsal")) as connection:
            touched = shared.changes(server, connection, where.name, where.copy.target.name)
            _refuse_subscriptions(connection, words)
            _compare(connection, before, words, previous, contract, log)
            if started:
                _ask_previous(connection, words, port, health, probes, seconds, previous, log)
            else:
                words["message"] = f"{previous} was not started on the new schema, which is judged by itself"
                log(str(words["message"]))
    except Refused as error:
        refused = error
    finally:
        notices += _dropped(where, folder, settings, log)
    left = _take_back(where, touched, settings, log)
    words["findings"] += [_ON_THE_SERVER | {"what": line} for line in touched.others]
    if refused:
        words["findings"] += [_ON_THE_SERVER | {"what": line} for line in left]
        raise refused
    if left:
        raise Refused(f"{_LEFT}: {'; '.join(left)}", _AGAIN, words)
    notices = [str(words.get("message", "")), (folder / _NOTICE).read_text(), *notices]
    if touched.made:
        names = ", ".join(touched.made.values())
        notices.append(f"the rehearsed migration made role {names} on the server, which has no copy; dropped again")
    return {"outcome": "passed", **words, "message": "; ".join(filter(None, notices))}


def _compare(
    connection: psycopg.Connection, before: Look, words: dict[str, Any], previous: str, contract: bool, log: Log
) -> None:
    """Tells what is different in the scratch database, and refuses what breaks the serving version."""
    after = Look.take(connection)
    found = classify(before.schema, after.schema, contract=contract)
    words |= {"changes": summary(before, after), "findings": [described(f) for f in found if f.level != "safe"]}
    for line in words["changes"]:
        log(line)
    broken = [f for f in found if f.level == "breaks"]
    if broken:
        each = "; ".join(f"{f.what} ({f.why.rstrip('.')})" for f in broken)
        raise Refused(f"the migration breaks {previous}, which serves: {each}", broken[0].instead, words)


def _ask_previous(
    connection: psycopg.Connection, words: dict[str, Any], port: int, health: str, probes: Sequence[Probe],
    seconds: float, previous: str, log: Log,
) -> None:  # fmt: skip
    """Tries the serving version."""
    try:
        words["probes"] = _try(port, health, probes, seconds, previous, log)
    except _Failed as failed:
        raise Refused(str(failed), "Expand first, contract once no older version serves.", words) from None
    if not _is_used(connection):
        words["message"] = (
            f"{previous} had no connection to the scratch database; unless it opens one for each request, "
            "its answers say nothing: it must take the database from POSTGRES_URI or POSTGRES_DATABASE"
        )
        log(str(words["message"]))


_ON_THE_SERVER = {
    "level": "risky",
    "rule": "server-changed",
    "why": (
        "It belongs to the server, of which a rehearsal has no copy. If the migration has done it and not another meanwhile, "
        "it is in force already, and what cannot be done twice, such as CREATE ROLE, fails when it runs in earnest."
    ),
    "instead": "Let whoever runs the server do it before the update; or let the migration do it only where it is not done.",
}
_LEFT = "the rehearsal has left on the server, of which it has no copy, what the migration cannot make a second time"
_AGAIN = (
    "DROP ROLE, and migrate with rehearse: off. Or let the migration make it only where it is not there (DO $$ BEGIN IF NOT EXISTS "
    "(SELECT FROM pg_roles WHERE rolname = '...') THEN CREATE ROLE ...; END IF; END $$): then just run the update again."
)


def _refuse_subscriptions(connection: psycopg.Connection, words: dict[str, Any]) -> None:
    if feeds := isolation.subscriptions(connection):
        raise Refused(f"{_TAKES}: {', '.join(feeds)}", _ALONE, words)


_TAKES = (
    "the rehearsed migration has made a subscription, which took from the publisher what the real database is to get"
)
_ALONE = "Look at the publisher's slot; let a migration of its own make the subscription, with rehearse: off."


def _take_back(where: Databases, touched: shared.Changes, settings: Settings, log: Log) -> list[str]:
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


def hold(environment: Mapping[str, str], folder: Path, log: Log) -> dict[str, Any]:
    """Waits for SIGTERM, then drops the scratch database, and the roles that were made for it.

    Args:
        environment: see `Databases.of`.
        folder: of `prepare`.
        log: where lines for people go.
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
    stop.wait()
    if server:  # the migration may have failed, and there be no judge
        with looks, contextlib.closing(connect(where.server, settings, log)) as connection:
            touched = shared.changes(server, connection, where.name, where.copy.target.name)
    left = _dropped(where, folder, settings, log)
    _take_back(where, touched, settings, log)
    return {"outcome": "left" if left else "dropped", "message": "; ".join(left)}


class _Failed(Exception):
    """The serving version did not answer as it must."""


def _try(port: int, health: str, probes: Sequence[Probe], seconds: float, previous: str, log: Log) -> list[str]:
    end = time.monotonic() + seconds
    answered = []
    if health:
        last = "no answer"
        while True:
            status, said = _ask(port, Probe("GET", health))
            if status == 200:
                break
            last = f"{status} {said}" if status else said
            if time.monotonic() > end:
                raise _Failed(
                    f"{previous} does not become healthy on the new schema: GET {health} gives {last} for {seconds:.0f} s"
                )
            time.sleep(_POLL)
        log(f"{previous} is healthy on the new schema")
        answered.append(f"GET {health}: 200")
    for probe in probes:
        status, said = _ask(port, probe)
        good = status == probe.expect if probe.expect else 0 < status < 500
        if not good:
            wanted = f", expected {probe.expect}" if probe.expect else ""
            raise _Failed(f"{previous} fails on the new schema: {probe} gives {status or ''} {said}{wanted}".rstrip())
        log(f"{previous} answers {probe}: {status}")
        answered.append(f"{probe}: {status}")
    return answered


def _ask(port: int, probe: Probe) -> tuple[int, str]:
    """Status and the beginning of the answer; status 0 and the reason where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        headers = {"Content-Type": "application/json"} if probe.body else {}
        connection.request(probe.method, probe.path, probe.body or None, {**headers, **probe.headers})
        answer = connection.getresponse()
        return answer.status, " ".join(answer.read(300).decode(errors="replace").split())
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()


def _is_used(connection: psycopg.Connection) -> bool:
    """Whether somebody else than the parts of the rehearsal has a session in the scratch database."""
    row = connection.execute(
        "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ).fetchone()
    return bool(row and row[0])


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


def probes_from(text: str) -> tuple[Probe, ...]:
    """Reads a JSON list of objects with the fields of a probe."""
    return tuple(Probe(**each) for each in json.loads(text))
