"""Puts a backup in the place of a database, and keeps what was there under another name.

0. The backup is read, whole, and its bytes are those of the manifest; what is read of it again is compared with that before anybody gets it.
1. It is restored into a new database beside the real one, in one transaction.
2. That database is compared with the manifest: the same schema, and the same number of rows in every table.
3. The two change names in one transaction of the server, while everybody is sent out of the real one.

Up to the third step the real database is not touched; the third happens or it does not. So it can be killed anywhere and
begun again: what was left of the new database, which has the mark of its owner, is dropped first. A SIGTERM before the third step undoes what was done; one during
it waits, so that the last words always say which of the two databases serves. The server makes who connects during the change wait, for it
holds the database's lock; there is no moment in which the name belongs to nobody for longer than a commit takes.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from migrator import database, fingerprint, marks, traits
from migrator.backup import Checked, Digest, counted, feed, find, fingerprint_of
from migrator.errors import BackupUnusable, Blocked, DatabaseCommandFailed, ForeignDatabase, MigratorError
from migrator.job import Words, hold_signals, release_signals
from migrator.marks import KEPT, LIVE, Mark, Owner
from migrator.progress import telling
from migrator.scratch import RESTORING, Scratch, beside, name_for, sent_out
from migrator.sessions import Log, connect, conninfo, describe, pause, unhindered
from migrator.settings import Settings
from migrator.stores import Store

_SHOWN = 20
# PostgreSQL itself waits 5 s for sessions to leave a database that is renamed, then refuses (55006).
_ATTEMPTS = 6
_CONNECTIONS = 4
_NO_CONNECTION = ("connection to server", "too many clients", "remaining connection slots")


def restore(environment: Mapping[str, str], store: Store, wanted: str, *, differences: bool, log: Log) -> Words:
    """Restores a backup in the place of the database of POSTGRES_DATABASE.

    Args:
        environment: holds the connection, see `database.target`.
        store: of the backups.
        wanted: the backup's id; empty for the newest.
        differences: take it although it is not what the manifest says it is.
        log: where lines for people go.

    Raises:
        BackupUnusable: it cannot be read, or restores to something else than was backed up.
        MigratorError: it was not restored; the real database is as it was.
    """
    begun = time.monotonic()
    settings = Settings.from_environment(environment)
    real = database.target(environment)
    manifest = find(store, wanted)
    owner = Owner.of(environment)
    mark = Mark.of(owner, RESTORING, real.name)
    copy = Scratch.named(name_for(real.name, RESTORING, secrets.token_hex(4)), mark, real.conninfo)
    new = copy.target
    old = beside(real.name, f"_before_restore_{datetime.now(UTC):%Y%m%dT%H%M%S}")
    dump, schema = Checked.read(store, manifest, log), fingerprint_of(store, manifest)
    try:
        lacking = copy.make_like(real, settings, log)
        there = lacking is not None
        log(f"restoring backup {manifest.id} into {new.name}")
        where = conninfo(real.conninfo, dbname=new.name)
        _fill(dump, where, log)
        with contextlib.closing(_open(where, settings, log)) as connection:
            if lacking is not None:  # now that it is filled, and a session is open that they do not reach
                lacking += _likened(real, new.name, settings, log)
            with telling(log, "comparing the restored database with the manifest"):
                found = [f"not taken over from {real.name}: {each}" for each in lacking or ()]
                found += _differences(connection, schema, manifest.rows)
            for line in found:
                log(line)
            _same(manifest.id, [] if differences else found)
            log(f"{new.name} is what was backed up: {len(manifest.rows)} tables, {sum(manifest.rows.values())} rows")
            with telling(log, "collecting the planner's statistics (ANALYZE)"):
                connection.execute("ANALYZE")
        with contextlib.closing(_open(real.conninfo, settings, log)) as connection:
            seconds, ended = _swap(connection, real, copy, old if there else "", settings, log)
    except BaseException:
        with contextlib.suppress(MigratorError):
            copy.drop(settings, log)
        raise
    log(
        f"{real.name} is the restored database since now; changing places took {seconds:.2f} s and ended {ended} sessions"
    )
    if there:
        log(f"what was there is kept as {old}")
    return {
        "outcome": "restored",
        "backup": manifest.summary(),
        "database": real.name,
        "kept": old if there else "",
        "swap_seconds": round(seconds, 3),
        "sessions": ended,
        "changes": found,
        "seconds_in_all": round(time.monotonic() - begun, 2),
    }


def _open(text: str, settings: Settings, log: Log) -> psycopg.Connection:
    return unhindered(connect(text, settings, log, name="restore"))


def _likened(real: database.Target, new: str, settings: Settings, log: Log) -> list[str]:
    """Gives the new database the real one's settings and limit; gives what it could not be given."""
    with contextlib.closing(_open(real.conninfo, settings, log)) as connection:
        try:
            return traits.copy_settings(connection, real.name, new) + traits.copy_limit(connection, real.name, new)
        except psycopg.Error as error:
            raise DatabaseCommandFailed(
                f"the settings of {real.name} cannot be taken over: {error.diag.message_primary or error}",
                sqlstate=error.sqlstate or "",
            ) from None


def _fill(dump: Checked, where: str, log: Log) -> None:
    """Restores a dump."""
    for attempt in range(_CONNECTIONS):
        try:
            _pour(dump, where, log)
        except DatabaseCommandFailed as error:
            # psql connects once, and the server may be full at that moment. It was one transaction, so it is as if not begun.
            if attempt + 1 == _CONNECTIONS or not any(each in error.message for each in _NO_CONNECTION):
                raise
            log(f"{error.message}; trying again")
            time.sleep(pause(attempt + 2))
        else:
            return


def _pour(dump: Checked, where: str, log: Log) -> None:
    read = Digest()
    # The bytes have passed long before the last index of theirs is built; the seconds go on.
    with telling(log, "restoring", lambda: read.size, dump.size):
        feed(["--file=-"], read.over(dump.chunks()), target=where)


def _differences(connection: psycopg.Connection, schema: fingerprint.Snapshot, rows: Mapping[str, int]) -> list[str]:
    """What of the restored database is not as it was backed up."""
    now = counted(connection)
    lines = [
        f"{table}: {now.get(table, 0)} rows, the backup has {rows.get(table, 0)}"
        for table in sorted({*rows, *now})
        if now.get(table) != rows.get(table)
    ]
    restored = fingerprint.take(connection)
    if restored.postgres == schema.postgres:  # else the catalogue prints definitions differently
        lines += [each.text for each in fingerprint.difference(schema, restored) if not _only_a_limit(each)]
    return lines


def _only_a_limit(change: fingerprint.Change) -> bool:
    """Whether it is the connection limit, which is taken over as it is now: it may keep clients out until this is done."""
    return change.object == "database" and set(change.after) == {"connection limit"}


def _same(backup: str, found: list[str]) -> None:
    if not found:
        return
    error = BackupUnusable(
        f"backup {backup} does not restore to what was backed up: {'; '.join(found[:3])}",
        hint=(
            "Roles or extensions may have gone since. The database's settings and grants are those of the one that is there: "
            "set them as they were, and restore again. Where the differences do no harm, accept them."
        ),
    )
    error.more = {"changes": found[:_SHOWN]}
    raise error


def _swap(
    connection: psycopg.Connection,
    real: database.Target,
    copy: Scratch,
    old: str,
    settings: Settings,
    log: Log,
) -> tuple[float, int]:
    """Lets two databases change names and marks. Once they have, no signal ends the run before it has been told.

    Whose they are is looked at again under the lock that a rename takes: restoring may have taken hours.

    Returns:
        Seconds in which nobody could connect, and how many sessions were ended.

    Raises:
        ForeignDatabase: one of them belongs to another by now.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        hold_signals()
        begun = time.monotonic()
        try:
            log("the databases change places")
            there = next((found.oid for found in marks.databases(connection, real.name)), 0)
            with sent_out(there, real.conninfo, settings, log) as ended, connection.transaction():
                _change_names(connection, real.name, copy, old)
            return time.monotonic() - begun, len(ended)
        except psycopg.errors.ObjectInUse as error:
            release_signals()
            log(f"{real.name} is still used: {error.diag.message_detail or error.diag.message_primary}")
            if attempt == _ATTEMPTS:
                raise _held(connection, real, error) from None
        except psycopg.Error as error:
            # A commit whose answer was lost has happened, or not.
            if not error.sqlstate and not _exists(real, copy.target.name, settings, log):
                return time.monotonic() - begun, len(ended)
            release_signals()
            raise DatabaseCommandFailed(
                f"the databases could not change names: {error.diag.message_primary or error}",
                hint=error.diag.message_hint or "The role must own both and be able to create databases.",
                sqlstate=error.sqlstate or "",
            ) from None
        except BaseException:
            release_signals()
            raise
    raise AssertionError("unreachable")


def _change_names(connection: psycopg.Connection, real: str, copy: Scratch, old: str) -> None:
    rename, new, owner, comment = sql.SQL("ALTER DATABASE {} RENAME TO {}"), copy.target.name, copy.mark.owner, None
    # The first takes the lock by which who connects now waits, until all who are in it have gone.
    if old:
        connection.execute(rename.format(sql.Identifier(real), sql.Identifier(old)))
        [was] = marks.databases(connection, old)
        marks.is_live(replace(was, name=real), owner)
        comment = was.comment
        marks.put(connection, old, Mark.of(owner, KEPT, real))
    connection.execute(rename.format(sql.Identifier(new), sql.Identifier(real)))
    [now] = marks.databases(connection, real)
    if now.mark != copy.mark:
        raise ForeignDatabase(
            f"{new}, into which was restored, has another mark by now; nothing was put in the place of {real}",
            hint="See who has changed its comment, and restore again.",
        )
    # With the mark of a scratch database, the next restore would drop what the module works on.
    marks.put(connection, real, Mark.of(owner, LIVE, real), comment)


def _exists(real: database.Target, name: str, settings: Settings, log: Log) -> bool:
    with contextlib.closing(_open(real.conninfo, settings, log)) as connection:
        found = connection.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (name,))
        return found.fetchone() is not None


def _held(connection: psycopg.Connection, real: database.Target, error: psycopg.Error) -> Blocked:
    pids = [
        int(pid)
        for (pid,) in connection.execute(
            "SELECT pid FROM pg_catalog.pg_stat_activity WHERE datname = %s", (real.name,)
        ).fetchall()
    ]
    return Blocked(
        f"others are in {real.name} and could not be sent out: {error.diag.message_detail or error.diag.message_primary}",
        hint="End their sessions, or their prepared transactions (pg_prepared_xacts).",
        sqlstate=error.sqlstate or "",
        blockers=describe(connection, pids),
    )
