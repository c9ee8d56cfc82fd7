"""What a CONCURRENTLY that was ended midway leaves behind, and the next attempt has to clear away.

These statements commit between their steps, so that neither a lock timeout nor a lost client takes them back:

- CREATE INDEX leaves an index that is not valid: maintained on each write, used by no query, and enough for IF NOT EXISTS.
- REINDEX leaves the index that it was building (`_ccnew`) or the one that it has replaced (`_ccold`), another with each attempt.
- DETACH PARTITION leaves the partition pending: all that is possible then is to finalize it.
- DROP INDEX leaves an index that is not valid, and may simply be run again.

https://www.postgresql.org/docs/15/sql-reindex.html#SQL-REINDEX-CONCURRENTLY and sql-altertable.html, DETACH PARTITION
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from migrator.sessions import Log
from migrator.statements import Statement

_INVALID = """
SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND """
_OF_A_TABLE = "i.indrelid = to_regclass(%s) AND c.relname = (parse_ident(%s))[1]::name"
_TRANSIENT = "c.relname ~ '_cc(new|old)[0-9]*$' AND "
# The server shortens what would be longer than 63 bytes with its ending.
_OF_AN_INDEX = """EXISTS (SELECT FROM pg_catalog.pg_index o JOIN pg_catalog.pg_class p ON p.oid = o.indexrelid
WHERE o.indrelid = i.indrelid AND o.indexrelid IN (
    SELECT to_regclass(%(name)s) UNION SELECT relid FROM pg_catalog.pg_partition_tree(to_regclass(%(name)s)))
AND (p.relname = {base} OR octet_length(c.relname) >= 60 AND starts_with(p.relname, {base})))""".format(
    base="regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '')"
)
_OF_TABLES = """i.indrelid IN (SELECT unnest(ARRAY[t.oid, t.reltoastrelid]) FROM pg_catalog.pg_class t WHERE """
_TABLES = {
    "TABLE": "t.oid IN (SELECT to_regclass(%(name)s) UNION SELECT relid FROM pg_catalog.pg_partition_tree(to_regclass(%(name)s))))",
    "SCHEMA": "t.relnamespace = to_regnamespace(%(name)s))",
    "DATABASE": "t.relnamespace <> 'pg_catalog'::regnamespace)",
}


@dataclass(frozen=True)
class Reindex:
    """What a REINDEX CONCURRENTLY names.

    Attributes:
        kind: INDEX, TABLE, SCHEMA or DATABASE.
        name: of it, as it is written.
    """

    kind: str
    name: str


@dataclass(frozen=True)
class Detach:
    """What an ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY names, as it is written.

    Attributes:
        table: that is partitioned.
        partition: of it.
    """

    table: str
    partition: str


def reindex(statement: Statement) -> Reindex | None:
    """Gives what a REINDEX CONCURRENTLY names; None for any other statement."""
    if statement.words[:1] != ("REINDEX",):
        return None
    tokens = statement.tokens()
    upper = [each.upper() for each in tokens]
    at, options = 1, []
    if tokens[1:2] == ["("]:
        at = tokens.index(")") + 1 if ")" in tokens else len(tokens)
        options = upper[1:at]
    kind = (upper[at : at + 1] or [""])[0]
    at += 1
    concurrently = upper[at : at + 1] == ["CONCURRENTLY"]
    at += concurrently
    if "CONCURRENTLY" in options:
        concurrently = (options[options.index("CONCURRENTLY") + 1 :] or [""])[0] not in (
            "FALSE",
            "OFF",
            "0",
            "'FALSE'",
            "'OFF'",
        )
    name, _ = _name(tokens, at)
    return Reindex(kind, name) if concurrently and (kind == "INDEX" or kind in _TABLES) else None


def detach(statement: Statement) -> Detach | None:
    """Gives what a DETACH PARTITION CONCURRENTLY names; None for any other statement."""
    if statement.words[:2] != ("ALTER", "TABLE"):
        return None
    tokens = statement.tokens()
    upper = [each.upper() for each in tokens]
    at = 4 if upper[2:4] == ["IF", "EXISTS"] else 2
    table, at = _name(tokens, at + (upper[at : at + 1] == ["ONLY"]))
    if upper[at : at + 2] != ["DETACH", "PARTITION"]:
        return None
    partition, at = _name(tokens, at + 2)
    return Detach(table, partition) if upper[at : at + 1] == ["CONCURRENTLY"] else None


def cleared(connection: psycopg.Connection, statement: Statement, log: Log) -> str:
    """Clears away what an interrupted attempt at a statement has left, and gives the SQL that is to be run now.

    Args:
        connection: in autocommit mode, with the search path that the statement will have.
        statement: about to be run.
        log: where lines for people go.

    Raises:
        psycopg.Error: a lock was not to be had, or the server refused.
    """
    if index := statement.concurrent_index():
        # An index is in its table's schema, which need not be in the search path.
        _drop(connection, _INVALID + _OF_A_TABLE, (index.table, index.name), log)
    elif found := reindex(statement):
        which = _OF_AN_INDEX if found.kind == "INDEX" else _OF_TABLES + _TABLES[found.kind]
        _drop(connection, _INVALID + _TRANSIENT + which, {"name": found.name}, log)
    elif pending := detach(statement):
        row = connection.execute(
            "SELECT inhdetachpending FROM pg_catalog.pg_inherits WHERE inhparent = to_regclass(%s) AND inhrelid = to_regclass(%s)",
            (pending.table, pending.partition),
        ).fetchone()
        if row and row[0]:
            log(f"an interrupted attempt has begun to detach {pending.partition}; finalizing that")
            return f"ALTER TABLE {pending.table} DETACH PARTITION {pending.partition} FINALIZE"
    return statement.text


def is_of_index(statement: Statement) -> bool:
    """Whether it builds, rebuilds or drops indexes CONCURRENTLY: then it blocks nobody who reads or writes, even while it waits."""
    dropped = statement.words[:3] == ("DROP", "INDEX", "CONCURRENTLY")
    return dropped or bool(statement.concurrent_index() or reindex(statement))


def leaves_traces(statement: Statement) -> bool:
    """Whether it leaves something behind when it is ended midway."""
    return bool(statement.concurrent_index() or reindex(statement) or detach(statement))


def _drop(connection: psycopg.Connection, query: str, parameters: Sequence[str] | dict[str, str], log: Log) -> None:
    for (name,) in connection.execute(query.encode(), parameters).fetchall():
        log(f"dropping the invalid index {name} of an interrupted attempt")
        try:
            # By now it may be gone: what was rebuilding an index of the same name elsewhere has ended.
            connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())
        except psycopg.errors.InsufficientPrivilege as error:
            # An index of pg_toast, where only a superuser may.
            log(f"{name} cannot be dropped, and is still maintained on each write: {error.diag.message_primary}")


def _name(tokens: Sequence[str], at: int) -> tuple[str, int]:
    """Gives the qualified name that begins there, and where it ends."""
    end = at + 1
    while tokens[end : end + 1] == ["."]:
        end += 2
    return "".join(tokens[at:end]), end
