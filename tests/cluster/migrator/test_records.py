"""The tables in which migration tools keep their record are found, so that a rehearsal runs what is pending and nothing else."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from migrator import records, rehearsal
from migrator.scratch import REHEARSAL, name_for
from tests.cluster.migrator.conftest import Database, remove

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

# What the tools make by themselves, as their sources have it.
TOOLS = (
    '"__EFMigrationsHistory"',  # EF Core
    '"SequelizeMeta"',
    '"VersionInfo"',  # FluentMigrator
    "__diesel_schema_migrations",
    "_prisma_migrations",
    "_sqlx_migrations",
    "_yoyo_log",
    "_yoyo_migration",
    "_yoyo_version",
    "aerich",
    "alembic_version",
    "bun_migrations",
    "databasechangelog",  # Liquibase
    "django_migrations",
    "doctrine_migration_versions",
    "drizzle.__drizzle_migrations",
    "flyway_schema_history",
    "goose_db_version",
    "gorp_migrations",
    "graphile_migrate.migrations",
    "hdb_catalog.hdb_version",  # Hasura
    "knex_migrations",
    "knex_migrations_lock",
    "kysely_migration",
    "kysely_migration_lock",
    "migratehistory",  # peewee-migrate
    "migrations",  # TypeORM, Laravel
    "mikro_orm_migrations",
    "pgboss.version",
    "pgmigrations",  # node-pg-migrate
    "phinxlog",
    "play_evolutions",
    "refinery_schema_history",
    "river_migration",
    "schema_info",  # Sequel
    "schema_migration",  # soda
    "schema_migrations",  # golang-migrate, dbmate, Rails, Ecto
    "schema_version",  # tern
    "schemaversions",  # DbUp
    "seaql_migrations",  # SeaORM
    "sqitch.changes",
)
NOT_NEEDED = {"_yoyo_log"}  # it tells people what was done; yoyo decides by the two others


def test_the_record_of_every_tool_is_found_and_copied(base: Database, server: str, tmp_path: Path) -> None:
    wanted = []
    for tool in TOOLS:
        schema, _, table = tool.rpartition(".")
        base.execute(f"CREATE SCHEMA IF NOT EXISTS {schema or 'public'}")
        base.execute(f"CREATE TABLE {tool} (id serial, what text); INSERT INTO {tool} (what) VALUES ('applied')")
        if tool not in NOT_NEEDED:
            wanted.append(f"{schema or 'public'}.{table.strip(chr(34))}")
    with psycopg.connect(base.uri, autocommit=True) as connection:
        assert sorted(records.read(connection)) == sorted(wanted)
    scratch = name_for(base.name, REHEARSAL, "0123abcd")
    owner = {"ROLLOUT_STACK": "rollout.test.0", "ROLLOUT_MODULE": "ledger"}
    env = {"POSTGRES_URI": base.uri, "POSTGRES_DATABASE": base.name, "SCRATCH_DATABASE": scratch, **owner}
    try:
        rehearsal.prepare(env, tmp_path, "schema", 0, (), print)
        with psycopg.connect(make_conninfo(base.uri, dbname=scratch), autocommit=True) as connection:
            assert {name: held.rows for name, held in records.read(connection).items()} == dict.fromkeys(wanted, 1)
            row = connection.execute("INSERT INTO pgmigrations (what) VALUES ('next') RETURNING id").fetchone()
            assert row == (2,), "what numbers the rows goes on"
    finally:
        remove(scratch, server)


@pytest.mark.parametrize(
    "table",
    [
        "migrated_accounts (n int)",
        "account_migrations_done (n int)",
        "versions (n int)",
        "changelog (n int)",
        "bird_migrations (bird int REFERENCES birds)",
        "big_migrations AS SELECT n FROM generate_series(1, 2000) n",
    ],
)  # fmt: skip
def test_what_is_called_alike_is_left_out_where_its_rows_would_cost_or_refer_to_others(
    base: Database, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_LARGEST", 5 * 8192)
    base.execute("CREATE TABLE birds (id int PRIMARY KEY)")
    base.execute(f"CREATE TABLE {table}")
    with psycopg.connect(base.uri) as connection:
        assert records.find(connection) == []
        name = table.partition(" ")[0]
        assert records.find(connection, (name,)) == [("public", name)], "whoever names it wants it"
