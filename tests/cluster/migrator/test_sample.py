"""A rehearsal with some of the rows: what refers to others is whole, and what locks last on them is told for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import migrator
from migrator import rehearsal
from migrator.rehearsal.locks import Held
from migrator.rehearsal.weighing import Policy, of_locks
from tests.cluster.migrator.conftest import QUIET, Database, remove
from tests.cluster.migrator.test_rehearsal_database import environment, scratch

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

SCHEMA = """
CREATE TYPE side AS ENUM ('debit', 'credit');
CREATE TABLE goose_db_version (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, version_id bigint, is_applied boolean);
CREATE TABLE customers (id bigint PRIMARY KEY, name text, boss bigint REFERENCES customers (id));
CREATE TABLE "Orders" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer bigint NOT NULL REFERENCES customers (id),
    "when" date NOT NULL DEFAULT current_date, UNIQUE (id, "when"));
CREATE TABLE lines (id bigserial PRIMARY KEY, "order" bigint, "when" date, side side, amount numeric,
    twice numeric GENERATED ALWAYS AS (amount * 2) STORED, FOREIGN KEY ("order", "when") REFERENCES "Orders" (id, "when"));
CREATE TABLE parts (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us');
CREATE TABLE uses (id int, part int, region text, FOREIGN KEY (part, region) REFERENCES parts);
CREATE TABLE nothing (a int);
CREATE MATERIALIZED VIEW per_customer AS SELECT customer, count(*) FROM "Orders" GROUP BY customer;
INSERT INTO goose_db_version (version_id, is_applied) SELECT n, true FROM generate_series(1, 60) n;
INSERT INTO customers SELECT n, 'c' || n, nullif(n / 2, 0) FROM generate_series(1, 3000) n;
INSERT INTO "Orders" (customer) SELECT 1 + n % 3000 FROM generate_series(1, 9000) n;
INSERT INTO lines ("order", "when", side, amount) SELECT 1 + n % 9000, current_date, 'debit', n FROM generate_series(1, 20000) n;
INSERT INTO parts SELECT n, CASE n % 2 WHEN 0 THEN 'eu' ELSE 'us' END FROM generate_series(1, 2000) n;
INSERT INTO uses SELECT n, n, CASE n % 2 WHEN 0 THEN 'eu' ELSE 'us' END FROM generate_series(1, 2000) n;
REFRESH MATERIALIZED VIEW per_customer;
"""


@pytest.fixture
def filled(base: Database, server: str) -> Any:
    with psycopg.connect(base.uri, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("ANALYZE")
    yield base
    remove(scratch(base), server)


def prepare(real: Database, folder: Path, rows: int) -> str:
    rehearsal.prepare(environment(real), folder, "sample", rows, (), print)
    return make_conninfo(real.uri, dbname=scratch(real))


def test_a_sample_has_some_of_each_table_and_all_that_these_refer_to(filled: Database, tmp_path: Path) -> None:
    uri = prepare(filled, tmp_path, 50)
    with psycopg.connect(uri, autocommit=True) as copy:

        def count(table: str) -> int:
            row = copy.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            assert row
            return int(row[0])

        assert count("goose_db_version") == 60, "a migration tool's record is whole"
        assert count("lines") == 50
        assert 50 <= count('"Orders"') <= 100
        assert 50 <= count("customers") <= 400, "with their bosses' bosses"
        assert count("uses") == 50
        assert 50 <= count("parts") <= 150
        assert count("nothing") == 0
        assert count("per_customer") > 0
        invalid = copy.execute("SELECT conname FROM pg_constraint WHERE NOT convalidated").fetchall()
        assert invalid == [], "all foreign keys are there and hold"
        copy.execute("INSERT INTO lines (amount) VALUES (1)")
        assert copy.execute("SELECT max(id) FROM lines").fetchone() == (20_001,), "sequences go on where they are"
        assert copy.execute("SELECT bool_and(twice = amount * 2) FROM lines").fetchone() == (True,)


def test_a_table_smaller_than_the_sample_is_whole(filled: Database, tmp_path: Path) -> None:
    uri = prepare(filled, tmp_path, 100_000)
    with psycopg.connect(uri) as copy:
        for table, rows in (("lines", 20_000), ('"Orders"', 9_000), ("customers", 3_000), ("parts", 2_000)):
            assert copy.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (rows,)


def test_a_migration_that_fails_on_rows_fails_on_a_sample_of_them(filled: Database, tmp_path: Path) -> None:
    uri = prepare(filled, tmp_path, 50)
    filled.write(_0001_a="ALTER TABLE lines ADD CHECK (amount < 0)")
    with pytest.raises(migrator.MigratorError, match="check constraint"):
        migrator.run(uri, filled.directory, QUIET, print)


def test_what_a_lock_lasts_on_a_sample_is_told_for_all_rows_and_called_an_estimate() -> None:
    sample = {"public.t": (50_000, 2_000_000), "public.small": (100, 100)}
    held = [
        Held("public.t", "AccessExclusiveLock", 1.0, "ALTER TABLE t ALTER a TYPE bigint"),
        Held("public.t", "ShareLock", 0.03, "CREATE INDEX"),
        Held("public.small", "ShareLock", 0.9, "CREATE INDEX"),
    ]
    [found] = of_locks(held, {"public.t": 2_000_000}, sample, Policy())
    assert found["what"] == "the migration holds ACCESS EXCLUSIVE on public.t (about 2,000,000 rows) for about 40.0 s"
    assert "Estimated in proportion from 1.00 s on 50,000 of 2,000,000 rows" in found["why"]
