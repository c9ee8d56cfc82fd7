"""What a single snapshot's text does not show: identity, prepared statements, functions over a row type."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from migrator import compatibility, fingerprint
from migrator.fingerprint import Snapshot
from tests.cluster.migrator.conftest import Database

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


@pytest.fixture
def connection(base: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(base.uri, autocommit=True) as connection:
        yield connection


def worst(connection: psycopg.Connection, change: str, *, contract: bool = False) -> str:
    with connection.transaction(force_rollback=True):
        before = fingerprint.take(connection)
        connection.execute(change.encode())
        after = Snapshot.from_json(fingerprint.take(connection).to_json())
        return compatibility.worst(compatibility.classify(before, after, contract=contract))


@pytest.mark.parametrize(
    ("contraction", "renaming"),
    [
        ("ALTER TABLE t DROP b; ALTER TABLE t ADD c text", "ALTER TABLE t RENAME b TO c"),
        ("DROP VIEW v; CREATE VIEW w AS SELECT a FROM t", "ALTER VIEW v RENAME TO w"),
        ("DROP TABLE t CASCADE; CREATE TABLE u (a text, b text)", "ALTER TABLE t RENAME TO u"),
        ("DROP TYPE e; CREATE TYPE f AS ENUM ('x')", "ALTER TYPE e RENAME TO f"),
        ("DROP SEQUENCE s; CREATE SEQUENCE r", "ALTER SEQUENCE s RENAME TO r"),
        ("DROP FUNCTION f(); CREATE FUNCTION g() RETURNS int LANGUAGE sql RETURN 1", "ALTER FUNCTION f() RENAME TO g"),
        ("DROP SCHEMA n CASCADE; CREATE SCHEMA m CREATE TABLE x (a int)", "ALTER SCHEMA n RENAME TO m"),
    ],
)
def test_in_one_database_what_is_dropped_beside_something_alike_is_not_renamed(
    contraction: str, renaming: str, connection: psycopg.Connection
) -> None:
    connection.execute(
        "CREATE TABLE t (a text, b text); CREATE VIEW v AS SELECT a FROM t; CREATE TYPE e AS ENUM ('x'); CREATE SEQUENCE s;"
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1; CREATE SCHEMA n CREATE TABLE x (a int)"
    )
    assert worst(connection, contraction) == worst(connection, renaming) == "breaks"
    assert worst(connection, contraction, contract=True) != "breaks"
    assert worst(connection, renaming, contract=True) == "breaks"


def test_elsewhere_what_is_alike_is_taken_for_renamed(base: Database, connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE t (a text, b text)")
    before = fingerprint.take(connection)
    connection.execute("ALTER TABLE t DROP b; ALTER TABLE t ADD c text")
    text = fingerprint.take(connection).to_json()
    without = text.replace('"database": "', '"database": "another ')
    (found, *_) = compatibility.classify(before, Snapshot.from_json(without), contract=True)
    assert found.rule == "column-renamed"
    assert [each.rule for each in compatibility.classify(before, Snapshot.from_json(text))] == [
        "column-dropped",
        "column-added",
    ]


def test_facts_are_in_no_digest_and_in_no_difference(base: Database, connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE t (a text)")
    before = fingerprint.take(connection)
    connection.execute("DROP TABLE t; CREATE TABLE t (a text)")
    after = fingerprint.take(connection)
    assert before.digest == after.digest
    assert fingerprint.difference(before, after) == ()
    old = [each.facts for each in Snapshot.from_json(before.to_json()).objects if each.name == "public.t"]
    new = [each.facts for each in after.objects if each.name == "public.t"]
    assert old != new


@pytest.mark.parametrize(
    ("change", "prepared"),
    [
        ("ALTER TABLE t ALTER a TYPE varchar(10)", "SELECT a FROM t"),
        ("ALTER TABLE t ALTER a TYPE text", "SELECT a FROM t"),
        ("ALTER TABLE t ALTER n TYPE numeric(12,2)", "UPDATE t SET n = 1 RETURNING n"),
        ('ALTER TABLE t ALTER a TYPE varchar(3) COLLATE "C"', "SELECT a FROM t"),
        ("ALTER TABLE t ADD b text", "SELECT * FROM t"),
        ("ALTER TABLE t ADD b text", "DELETE FROM t RETURNING *"),
        ("CREATE OR REPLACE VIEW v AS SELECT a, n FROM t", "SELECT * FROM v"),
    ],
)
def test_what_makes_a_prepared_statement_fail_has_a_finding_of_its_own(
    change: str, prepared: str, connection: psycopg.Connection
) -> None:
    connection.execute("CREATE TABLE t (a varchar(3), n numeric(10,2)); CREATE VIEW v AS SELECT a FROM t")
    if "TYPE" in change:
        connection.execute("DROP VIEW v")
    connection.execute(f"PREPARE old AS {prepared}; EXECUTE old".encode())
    before = fingerprint.take(connection)
    connection.execute(change.encode())
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="cached plan must not change result type"):
        connection.execute("EXECUTE old")
    (found,) = (
        each for each in compatibility.classify(before, fingerprint.take(connection)) if each.rule == "cached-plan"
    )
    assert found.level == "risky"
    assert "0A000" in found.why


def breaks_as_its_calls_do(connection: psycopg.Connection) -> None:
    """Requires that a new column of `t` is said to break exactly where a call of `f` fails after it."""
    connection.execute("SELECT f()")
    before = fingerprint.take(connection)
    connection.execute("ALTER TABLE t ADD c text")
    found = {each.level for each in compatibility.classify(before, fingerprint.take(connection))}
    try:
        connection.execute("SELECT f()")
        fails = False
    except psycopg.Error:
        fails = True
    assert ("breaks" in found) is fails


@pytest.mark.parametrize(
    ("language", "body"),
    [
        ("sql", "AS 'SELECT a, b FROM t'"),
        ("sql", "AS 'SELECT * FROM t'"),
        ("sql", "AS 'SELECT t.* FROM t; -- a, b'"),
        ("sql", "AS 'TABLE t'"),
        ("sql", "AS 'SELECT t FROM t'"),
        ("sql", "AS 'SELECT x FROM (SELECT p FROM t p) s (x)'"),
        ("sql", "AS 'SELECT count(*), max(b) FROM t'"),
        ("sql", "AS 'SELECT 1; WITH w AS (SELECT * FROM t) SELECT a, b FROM w'"),
        ("sql", "AS 'INSERT INTO t VALUES (1, 2) RETURNING *'"),
        ("sql", "AS 'INSERT INTO t VALUES (1, 2) RETURNING a, b'"),
        ("sql", "AS 'SELECT ROW(1, 2)::t'"),
        ("sql", "BEGIN ATOMIC SELECT * FROM t; END"),
        ("sql", "BEGIN ATOMIC SELECT t FROM t; END"),
        ("plpgsql", "AS 'BEGIN RETURN QUERY SELECT a, b FROM t; END'"),
        ("plpgsql", "AS 'BEGIN RETURN QUERY SELECT * FROM t; END'"),
        ("plpgsql", "AS 'DECLARE r t; BEGIN SELECT a, b INTO r FROM t; RETURN NEXT r; END'"),
    ],
)
def test_a_function_over_a_row_type_breaks_as_its_calls_do(
    language: str, body: str, connection: psycopg.Connection
) -> None:
    connection.execute("CREATE TABLE t (a bigint, b bigint); INSERT INTO t VALUES (1, 2)")
    connection.execute(f"CREATE FUNCTION f() RETURNS SETOF t LANGUAGE {language} {body}".encode())
    breaks_as_its_calls_do(connection)


@pytest.mark.parametrize(
    ("language", "result", "body"),
    [
        ("sql", "TABLE (a bigint, b bigint)", "AS 'SELECT * FROM t'"),
        ("sql", "TABLE (a bigint, b bigint)", "AS 'SELECT x.* FROM public.t AS x WHERE true'"),
        ("sql", "TABLE (a bigint, b bigint)", "AS 'SELECT a, b FROM t'"),
        ("sql", "TABLE (a bigint, b bigint)", "AS 'SELECT u.* FROM u JOIN t USING (a)'"),
        ("sql", "TABLE (a bigint, b bigint)", "BEGIN ATOMIC SELECT * FROM t; END"),
        ("sql", "SETOF u", "AS 'SELECT * FROM t'"),
        ("sql", "SETOF u", "AS 'SELECT * FROM u'"),
        ("plpgsql", "TABLE (a bigint, b bigint)", "AS '#variable_conflict use_column\nBEGIN RETURN QUERY SELECT * FROM t; END'"),
        ("plpgsql", "TABLE (a bigint, b bigint)", "AS 'BEGIN RETURN QUERY SELECT t.a, t.b FROM t; END'"),
    ],
)  # fmt: skip
def test_a_function_that_returns_all_of_a_table_as_something_else_breaks_as_its_calls_do(
    language: str, result: str, body: str, connection: psycopg.Connection
) -> None:
    connection.execute("CREATE TABLE t (a bigint, b bigint); CREATE TABLE u (LIKE t); INSERT INTO t VALUES (1, 2)")
    connection.execute(f"CREATE FUNCTION f() RETURNS {result} LANGUAGE {language} {body}".encode())
    breaks_as_its_calls_do(connection)
