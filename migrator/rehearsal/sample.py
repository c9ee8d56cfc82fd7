"""A sample of a database's rows: some of each table, and all that these refer to.

The tables have no constraints, indexes and triggers yet when they are filled. Rows come by COPY, first a part of each table,
then, until nothing is missing, the rows that foreign keys of those lead to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migrator.sessions import Log

_MISSING_AT_ONCE = 10_000
_MORE_THAN_NEEDED = 1.3  # pages are not equally full
_PAGES = 30  # at least: each page is drawn for itself, and of few there may be none


@dataclass(frozen=True)
class _Table:
    names: tuple[str, str]
    shown: str
    columns: sql.Composed
    rows: float  # as the statistics have it; negative before there are any
    leaf: bool
    pages: int

    @property
    def name(self) -> sql.Identifier:
        return sql.Identifier(*self.names)


@dataclass(frozen=True)
class _Reference:
    child: int
    parent: int
    columns: tuple[str, ...]
    referred: tuple[str, ...]


def fill(
    real: psycopg.Connection, scratch: psycopg.Connection, most: int, whole: Collection[tuple[str, str]], log: Log
) -> dict[str, tuple[int, int]]:
    """Copies a sample.

    Args:
        real: session in the database, in a transaction that reads one snapshot.
        scratch: session in the copy, which has the tables and nothing in them.
        most: rows of each table, besides those that others refer to.
        whole: schema and name of tables of which all rows are wanted.
        log: where lines for people go.

    Returns:
        Of each table how many rows were copied, and how many there are, about.

    Raises:
        psycopg.Error: a server refused.
    """
    tables = dict(_tables(real))
    copied = dict.fromkeys(tables, 0)
    with scratch.transaction():
        for oid, table in tables.items():
            if table.leaf:
                query = _all(table) if table.names in whole else _some(table, most)
                copied[oid] += _pour(real, scratch, table, query)
        for _ in range(len(tables) + 1):
            fetched = 0
            for each in _references(real):
                if each.child in tables and each.parent in tables:
                    found = _referred_rows(real, scratch, tables, each)
                    copied[each.parent] += found
                    fetched += found
            if not fetched:
                break
        for schema, name, value, called in real.execute(_SEQUENCES).fetchall():
            scratch.execute(
                "SELECT pg_catalog.setval(format('%%I.%%I', %s::text, %s::text)::regclass, %s, %s)",
                (schema, name, value or 1, called),
            )
    with_rows = [oid for oid, table in tables.items() if table.leaf and copied[oid]]
    log(f"a sample of {sum(copied.values()):,} rows of {len(with_rows)} tables was copied")
    return {tables[oid].shown: (copied[oid], max(copied[oid], int(tables[oid].rows))) for oid in with_rows}


_TABLES = """
SELECT c.oid, n.nspname, c.relname, c.reltuples::float8, c.relkind = 'r', quote_ident(n.nspname) || '.' || quote_ident(c.relname),
    array(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
          AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum), c.relpages
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY c.oid
"""
# Null is the last value of a sequence that was not used yet.
_SEQUENCES = """
SELECT schemaname, sequencename, last_value, last_value IS NOT NULL FROM pg_catalog.pg_sequences
WHERE has_sequence_privilege(format('%I.%I', schemaname, sequencename), 'SELECT')
"""
_REFERENCES = """
SELECT k.conrelid, k.confrelid, array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (n, i)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY i),
    array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (n, i)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY i)
FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY k.oid
"""


def _tables(real: psycopg.Connection) -> Iterator[tuple[int, _Table]]:
    for oid, schema, name, rows, leaf, shown, columns, pages in real.execute(_TABLES).fetchall():
        wanted = sql.SQL(", ").join(sql.Identifier(each) for each in columns)
        yield int(oid), _Table((schema, name), str(shown), wanted, float(rows), bool(leaf), int(pages))


def _references(real: psycopg.Connection) -> list[_Reference]:
    found = real.execute(_REFERENCES).fetchall()
    return [_Reference(int(c), int(p), tuple(own), tuple(theirs)) for c, p, own, theirs in found]


def _all(table: _Table) -> sql.Composed:
    return sql.SQL("SELECT {} FROM {}").format(table.columns, table.name)


def _some(table: _Table, most: int) -> sql.Composed:
    """The query for a part of a table's rows: by pages, as choosing row by row would read all of it."""
    if table.rows <= most:
        return sql.SQL("SELECT {} FROM {} LIMIT {}").format(table.columns, table.name, most)
    percent = min(100.0, 100 * max(_MORE_THAN_NEEDED * most / table.rows, _PAGES / max(table.pages, 1)))
    return sql.SQL("SELECT {} FROM {} TABLESAMPLE SYSTEM ({}) LIMIT {}").format(
        table.columns, table.name, percent, most
    )


def _referred_rows(
    real: psycopg.Connection, scratch: psycopg.Connection, tables: dict[int, _Table], each: _Reference
) -> int:
    """Copies rows that the sample refers to and has not."""
    child, parent = tables[each.child], tables[each.parent]
    own = [sql.Identifier("c", name) for name in each.columns]
    theirs = [sql.Identifier("p", name) for name in each.referred]
    same = sql.SQL(" AND ").join(sql.SQL("{} = {}").format(*pair) for pair in zip(theirs, own, strict=True))
    there = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(name) for name in own)
    missing = scratch.execute(
        sql.SQL(
            "SELECT DISTINCT {} FROM {} c WHERE {} AND NOT EXISTS (SELECT FROM {} p WHERE {}) LIMIT {}"
        ).format(
            sql.SQL(", ").join(sql.SQL("{}::text").format(name) for name in own),
            child.name, there, parent.name, same, _MISSING_AT_ONCE,
        )
    ).fetchall()  # fmt: skip
    if not missing:
        return 0
    return _pour(real, scratch, parent, _with_keys(parent, each.referred, missing))


def _with_keys(parent: _Table, referred: Sequence[str], keys: Sequence[tuple[object, ...]]) -> sql.Composed:
    # An unknown literal takes the column's own type, whatever that is.
    rows = sql.SQL(", ").join(
        sql.SQL("({})").format(sql.SQL(", ").join(sql.SQL("{}").format(sql.Literal(str(value))) for value in key))
        for key in keys
    )
    names = sql.SQL(", ").join(sql.Identifier(name) for name in referred)
    return sql.SQL("SELECT {} FROM {} WHERE ({}) IN ({})").format(parent.columns, parent.name, names, rows)


def _pour(real: psycopg.Connection, scratch: psycopg.Connection, table: _Table, query: sql.Composed) -> int:
    taken = sql.SQL("COPY ({}) TO STDOUT").format(query)
    given = sql.SQL("COPY {} ({}) FROM STDIN").format(table.name, table.columns)
    with real.cursor() as reading, scratch.cursor() as writing:
        with reading.copy(taken) as out, writing.copy(given) as into:
            for data in out:
                into.write(data)
        return max(0, writing.rowcount)
