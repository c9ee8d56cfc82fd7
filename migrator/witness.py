"""Looks at a database before and after a migration, from beside it: `python -m migrator witness`.

Whether a failed migration left the database as it was depends on the image that migrates: many commit step by step. So
nobody is believed. This runs as a sidecar in the migration's own pod: it takes a fingerprint, lets the migration begin,
and when that has ended, well or badly, Kubernetes tells it so by SIGTERM; it takes another and writes the difference to
its last words. It never fails: where it could not look it says why, and the migration has gone on.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg

from migrator import fingerprint, records
from migrator.compatibility import Finding, classify
from migrator.errors import MigratorError
from migrator.sessions import Log, connect
from migrator.settings import Settings
from migrator.statements import without_strings

# Beside a migration nobody waits for long: for the database before it, and after it within the pod's grace period.
PATIENCE = {"connect_budget": 3.0, "connect_timeout": 2}
SETTLE_SECONDS = 4.0
_BEFORE, _READY = "before.json", "ready"


@dataclass(frozen=True)
class Look:
    """A database at one moment.

    Attributes:
        schema: its fingerprint.
        records: what its migration tools' tables hold.
    """

    schema: fingerprint.Snapshot
    records: dict[str, records.Record]

    @classmethod
    def take(cls, connection: psycopg.Connection) -> Look:
        """Looks, in one transaction that reads and neither waits for locks nor goes on for long."""
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute("SET LOCAL lock_timeout = '1s'")
            connection.execute("SET LOCAL statement_timeout = '5s'")
            return cls(fingerprint.take(connection), records.read(connection))

    def to_json(self) -> str:
        return json.dumps({"schema": self.schema.to_json(), "records": {k: asdict(v) for k, v in self.records.items()}})

    @classmethod
    def from_json(cls, text: str) -> Look:
        value = json.loads(text)
        held = {k: records.Record(**v) for k, v in value["records"].items()}
        return cls(fingerprint.Snapshot.from_json(value["schema"]), held)


def watch(environment: Mapping[str, str], folder: Path, log: Log) -> dict[str, Any]:
    """Looks, waits for SIGTERM, looks again.

    Args:
        environment: holds POSTGRES_URI.
        folder: shared with nobody but a restarted witness; `ready` appears in it when the migration may begin.
        log: where lines for people go.

    Returns:
        The last words: `unchanged` (true, false, or null where it could not be told), `changes`, `findings`, `message`.
    """
    stop = threading.Event()

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    uri = environment.get("POSTGRES_URI", "")
    settings = Settings.from_environment({}, **PATIENCE)
    before = _before(uri, folder / _BEFORE, settings, log)
    (folder / _READY).touch()
    stop.wait()
    if isinstance(before, str):
        return _unknown(f"the database could not be looked at before the migration: {before}")
    try:
        with contextlib.closing(connect(uri, settings, log, name="witness")) as connection:
            running = _settle(connection)
            after = Look.take(connection)
    except (MigratorError, psycopg.Error) as error:
        return _unknown(f"the database could not be looked at after the migration: {_said(error)}")
    return report(before, after, running, log)


def report(before: Look, after: Look, running: str, log: Log) -> dict[str, Any]:
    """The difference between two looks as last words.

    Args:
        before: the migration.
        after: it.
        running: what of it still runs on the server, or empty.
        log: told every change.
    """
    changes = summary(before, after)
    findings = [described(f) for f in classify(before.schema, after.schema) if f.level != "safe"]
    for line in changes:
        log(line)
    if not changes:
        log("schema and migration records are as they were before")
    if running:
        log(running)
    return {
        "outcome": "changed" if changes else "unchanged",
        "unchanged": False if changes else None if running else True,
        "changes": changes,
        "findings": findings,
        "message": running,
    }


def summary(before: Look, after: Look) -> list[str]:
    """The difference between two looks, a line each; of what came or went as a whole its parts are not told."""
    changes = fingerprint.difference(before.schema, after.schema)
    whole = {(each.kind, each.name) for each in changes if each.kind != "changed"}
    lines = [each.text for each in changes if (each.kind, each.parent) not in whole]
    return lines + records.difference(before.records, after.records)


def described(finding: Finding) -> dict[str, str]:
    """A finding of the compatibility rules, as it goes into last words."""
    return {
        "level": finding.level,
        "rule": finding.rule,
        "what": finding.what,
        "why": finding.why,
        "instead": finding.instead,
    }


def _before(uri: str, kept: Path, settings: Settings, log: Log) -> Look | str:
    """The look before, or why there is none. A restarted witness has its predecessor's: the migration may have begun."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        value = kept.read_text()
        return value.removeprefix("!") if value.startswith("!") else Look.from_json(value)
    try:
        with contextlib.closing(connect(uri, settings, log, name="witness")) as connection:
            look = Look.take(connection)
    except (MigratorError, psycopg.Error) as error:
        log(f"cannot look: {_said(error)}")
        _keep(kept, "!" + _said(error))
        return _said(error)
    _keep(kept, look.to_json())
    return look


def _keep(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


_WRITING = """
SELECT pid, coalesce(query, '') FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user AND backend_xid IS NOT NULL
  AND client_addr IS NOT DISTINCT FROM inet_client_addr()
ORDER BY pid
"""


def _settle(connection: psycopg.Connection) -> str:
    """Waits for what a killed migration still does on the server; what it commits later no look would see.

    Its sessions are those of this pod's address that hold a transaction which writes. Behind a pooler others have that
    address too, but their transactions come and go.

    Returns:
        What still runs, empty if nothing.
    """
    end = time.monotonic() + SETTLE_SECONDS
    first: dict[int, str] | None = None
    while True:
        now = {int(pid): str(query) for pid, query in connection.execute(_WRITING).fetchall()}
        first = now if first is None else {pid: query for pid, query in first.items() if pid in now}
        if not first:
            return ""
        if time.monotonic() > end:
            each = "; ".join(
                f"PID {pid}: {' '.join(without_strings(query).split())[:200]}" for pid, query in first.items()
            )
            return f"the migration's session still runs on the server, and what it commits is not in this: {each}"
        time.sleep(0.05)


def _said(error: Exception) -> str:
    return error.message if isinstance(error, MigratorError) else " ".join(str(error).split())


def _unknown(message: str) -> dict[str, Any]:
    return {"outcome": "unknown", "unchanged": None, "changes": [], "findings": [], "message": message}
