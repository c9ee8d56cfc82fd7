"""The tables in which migration tools keep their record: the project's own and those of others, by name, in any schema.

Their rows say what is applied. A migration that only changes data shows there and not in the schema; and a copy of a
schema on which migrations are to run needs these rows, or they would all run again.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

# Schema (any where empty) and table. `_system` is where Formance's ledger keeps which buckets, schemas with a record of
# their own, there are.
KNOWN = (
    ("migrator", "migrations"),
    ("_system", ""),
    ("", "goose_db_version"),
    ("", "schema_migrations"),  # golang-migrate, dbmate, Rails
    ("", "schema_migration"),  # soda
    ("", "bun_migrations"),
    ("", "gorp_migrations"),
    ("", "alembic_version"),
    ("", "django_migrations"),
    ("", "flyway_schema_history"),
    ("", "databasechangelog"),
    ("", "_prisma_migrations"),
    ("", "knex_migrations"),
    ("", "__EFMigrationsHistory"),
    ("", "SequelizeMeta"),
    ("atlas_schema_revisions", "atlas_schema_revisions"),
    ("pgroll", "migrations"),
)

_FIND = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN unnest(%s::text[], %s::text[]) AS k(nspname, relname)
  ON (k.nspname = '' OR k.nspname = n.nspname) AND (k.relname = '' OR k.relname = c.relname)
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Record:
    """What a record table holds.

    Attributes:
        rows: how many.
        digest: changes with any of them.
    """

    rows: int
    digest: str


def find(connection: psycopg.Connection, more: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Gives schema and name of the record tables of a database.

    Args:
        connection: to it.
        more: further tables, `name` or `schema.name`.
    """
    known = [*KNOWN, *((schema, name) for schema, _, name in (each.rpartition(".") for each in more))]
    rows = connection.execute(_FIND, ([s for s, _ in known], [t for _, t in known])).fetchall()
    return [(str(schema), str(name)) for schema, name in rows]


def read(connection: psycopg.Connection) -> dict[str, Record]:
    """Reads the record tables of a database.

    Args:
        connection: to it.

    Returns:
        By `schema.name`.
    """
    found = {}
    for schema, name in find(connection):
        query = sql.SQL("SELECT count(*), coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM {} AS t")
        row = connection.execute(query.format(sql.Identifier(schema, name))).fetchone()
        assert row is not None
        found[f"{schema}.{name}"] = Record(int(row[0]), str(row[1]))
    return found


def difference(before: dict[str, Record], after: dict[str, Record]) -> list[str]:
    """Says, a line for each record, what has changed in it."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, Record(0, "")), after.get(name, Record(0, ""))
        if was == now:
            continue
        more = now.rows - was.rows
        how = f"{more} row{'s' if more > 1 else ''} more" if more > 0 else f"{-more} fewer" if more else "rows changed"
        lines.append(f"migration record {name}: {how}")
    return lines
