"""The record of what has been applied: the table `migrator.migrations` in the module's own database.

It is written in the transaction of the migrations themselves, so it cannot disagree with the schema. It has a schema of
its own, so that no module's tables are in its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from migrator.errors import HistoryMismatch
from migrator.files import Migration

_CREATE = """
CREATE TABLE IF NOT EXISTS migrator.migrations (
    number         bigint PRIMARY KEY,
    name           text NOT NULL,
    checksum       text NOT NULL,
    statements     integer NOT NULL,
    done           integer NOT NULL,
    done_checksum  text NOT NULL,
    started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_at     timestamptz,
    seconds        double precision NOT NULL DEFAULT 0,
    module_version text NOT NULL,
    runner         text NOT NULL
);
COMMENT ON TABLE migrator.migrations IS
    'Migrations applied to this database. Written by the migration runner, in the transaction of the migrations.';
"""


@dataclass(frozen=True)
class Applied:
    """A row of the record.

    Attributes:
        number: see `Migration`.
        name: see `Migration`.
        checksum: of the file when it was applied.
        statements: how many it had.
        done: how many of them are done; less than all only in an interrupted non-transactional file.
        done_checksum: checksum of those.
        complete: whether the file is applied as a whole.
        session: what its statements have left in the session they ran in, in a way that their text does not tell.
    """

    number: int
    name: str
    checksum: str
    statements: int
    done: int
    done_checksum: str
    complete: bool
    session: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        pending: files to run, in order.
        resumed: how many statements of the first pending file are already done, by file number.
        ahead: names in the record with higher numbers than these files have: a newer version was here.
        missing: other names in the record that these files do not have: deleted since, or of a version beside this one's line.
        before: highest number applied, 0 for none.
    """

    pending: tuple[Migration, ...]
    resumed: dict[int, int]
    ahead: tuple[str, ...]
    missing: tuple[str, ...]
    before: int


def read(connection: psycopg.Connection) -> list[Applied]:
    """Reads the record; empty where it does not exist yet. One round trip.

    Args:
        connection: outside of a transaction, or inside of one for which `exists` has been asked.
    """
    with connection.cursor(row_factory=class_row(Applied)) as cursor:
        try:
            cursor.execute(
                "SELECT number, name, checksum, statements, done, done_checksum, applied_at IS NOT NULL AS complete, "
                "coalesce(to_jsonb(m) ->> 'session', '') AS session FROM migrator.migrations m ORDER BY number"
            )
        except psycopg.errors.UndefinedTable:
            return []
        return cursor.fetchall()


def create(connection: psycopg.Connection) -> None:
    """Creates the record where it is missing."""
    found = connection.execute(
        "SELECT to_regnamespace('migrator') IS NOT NULL AND to_regclass('migrator.migrations') IS NOT NULL,"
        " to_regnamespace('migrator') IS NOT NULL"
    ).fetchone()
    exists, has_schema = found or (False, False)
    if not has_schema:  # where it exists, IF NOT EXISTS would still demand the right to create one
        connection.execute("CREATE SCHEMA IF NOT EXISTS migrator")
    if not exists:
        connection.execute(_CREATE)


def write(
    connection: psycopg.Connection, migration: Migration, done: int, seconds: float, who: tuple[str, str]
) -> None:
    """Records that statements of a file are done; the file is applied when all of them are.

    Args:
        connection: for a transactional file, in its transaction.
        migration: the file.
        done: how many of its statements are done.
        seconds: how long they took.
        who: the module's version and the runner's name.
    """
    connection.execute(
        "INSERT INTO migrator.migrations AS m (number, name, checksum, statements, done, done_checksum, seconds, "
        "module_version, runner, applied_at) "
        "VALUES (%(number)s, %(name)s, %(checksum)s, %(all)s, %(done)s, %(done_checksum)s, %(seconds)s, "
        "%(version)s, %(runner)s, CASE WHEN %(done)s = %(all)s THEN clock_timestamp() END) "
        "ON CONFLICT (number) DO UPDATE SET checksum = excluded.checksum, statements = excluded.statements, "
        "done = excluded.done, done_checksum = excluded.done_checksum, seconds = m.seconds + excluded.seconds, "
        "module_version = excluded.module_version, runner = excluded.runner, applied_at = excluded.applied_at "
        "WHERE m.applied_at IS NULL",
        {
            "number": migration.number,
            "name": migration.name,
            "checksum": migration.checksum,
            "all": len(migration.statements),
            "done": done,
            "done_checksum": migration.prefix_checksum(done),
            "seconds": seconds,
            "version": who[0],
            "runner": who[1],
        },
    )


def keep_session(connection: psycopg.Connection, migration: Migration, session: str) -> None:
    """Records what a file has left in its session; the column is made by the first that does.

    Args:
        connection: in the transaction of `write`.
        migration: the file.
        session: what.
    """
    connection.execute("ALTER TABLE migrator.migrations ADD COLUMN IF NOT EXISTS session text")
    connection.execute("UPDATE migrator.migrations SET session = %s WHERE number = %s", (session, migration.number))


def plan(files: Sequence[Migration], applied: Sequence[Applied]) -> Plan:
    """Compares the files with the record.

    Args:
        files: ordered by number.
        applied: ordered by number.

    Raises:
        HistoryMismatch: an applied file was changed or renamed, or a pending one is older than what was applied.
    """
    record = {each.number: each for each in applied}
    known = {each.number for each in files}
    resumed: dict[int, int] = {}
    for file in files:
        row = record.get(file.number)
        if row is None:
            continue
        if row.name != file.name:
            raise HistoryMismatch(
                f"number {file.number} is {file.name} here, but {row.name} was applied to the database",
                file=file.name,
                hint="This database was migrated by another line of versions; renumber the file that came later.",
            )
        if not row.complete:
            if file.transactional or file.prefix_checksum(row.done) != row.done_checksum:
                raise HistoryMismatch(
                    f"{file.name} stopped after statement {row.done} of {row.statements}, and those are changed since",
                    file=file.name,
                    hint="Only what has not run yet may be changed in an interrupted non-transactional file.",
                )
            resumed[file.number] = row.done
        elif row.checksum != file.checksum:
            raise HistoryMismatch(
                f"{file.name} was changed after it was applied (applied {row.checksum[:12]}, now {file.checksum[:12]})",
                file=file.name,
                hint="Restore the file as it was and write the change as a new one.",
            )
    pending = tuple(each for each in files if each.number not in record or each.number in resumed)
    newest = max((each.number for each in applied if each.complete), default=0)
    for file in pending:
        if file.number < newest:
            raise HistoryMismatch(
                f"{file.name} was never applied, but the later {record[newest].name} was",
                file=file.name,
                hint="Give it a number after the newest applied one; history only grows at its end.",
            )
    unknown = [each for each in applied if each.number not in known]
    last = max(known, default=0)
    ahead = tuple(each.name for each in unknown if each.number > last)
    missing = tuple(each.name for each in unknown if each.number < last)
    return Plan(pending, resumed, ahead, missing, newest)
