"""The tables in which migration tools keep their record, the project's own and those of others.

Their rows say what is applied. A migration that only changes data shows there and not in the schema; and a copy of a
schema on which migrations are to run needs these rows, or they would all run again.

Tools are many, and most let the name be set; but what they call it by themselves says `migration` or `schema version` at its end. So
that is what is looked for, and the few others by name. A table that is called so and is none costs little: it must be small, and
must not refer to rows of tables that are not copied.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

# golang-migrate, dbmate, Rails, Ecto, Diesel, sqlx, Prisma, Knex, Drizzle, MikroORM, TypeORM, Laravel, Django, bun, gorp, river, pgroll,
# node-pg-migrate, Kysely, SeaORM, Doctrine, EF Core, yoyo; peewee-migrate; tern, Refinery, Flyway, DbUp, Postgrator, Atlas, Sequel; goose
_LIKE_ONE = (
    "migrations?(_?(history|logs?|locks?|versions?))?$|migrate_?history$"
    "|schema_?(versions?|info|history|revisions)$|(^|_)db_version$"
)
_LARGEST = 16 << 20  # bytes of a table that is known by that alone
# Schema and table; one of them may be empty for any. `_system` is where Formance's ledger keeps which buckets, schemas with a record of
# their own, there are.
KNOWN = (
    ("_system", ""),
    ("", "alembic_version"),
    ("", "databasechangelog"),
    ("", "databasechangeloglock"),
    ("", "SequelizeMeta"),
    ("", "phinxlog"),
    ("", "aerich"),
    ("", "VersionInfo"),  # FluentMigrator
    ("", "play_evolutions"),
    ("", "ar_internal_metadata"),  # Rails
    ("", "_yoyo_version"),
    ("hdb_catalog", "hdb_version"),  # Hasura
    ("pgboss", "version"),
    ("pgroll", ""),
    ("sqitch", ""),
)

_FIND = """
WITH named AS (
    SELECT c.oid, n.nspname, c.relname, EXISTS (
        SELECT FROM unnest(%s::text[], %s::text[]) AS k(nspname, relname)
        WHERE (k.nspname = '' OR k.nspname = n.nspname) AND (k.relname = '' OR k.relname = c.relname)
    ) AS known
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
), found AS (
    SELECT * FROM named WHERE known OR (relname ~* %s AND pg_catalog.pg_table_size(oid) <= %s)
)
SELECT nspname, relname FROM found f WHERE known OR NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint c
    WHERE c.conrelid = f.oid AND c.contype = 'f' AND c.confrelid NOT IN (SELECT oid FROM found)
) ORDER BY 1, 2
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
    rows = connection.execute(_FIND, ([s for s, _ in known], [t for _, t in known], _LIKE_ONE, _LARGEST)).fetchall()
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
