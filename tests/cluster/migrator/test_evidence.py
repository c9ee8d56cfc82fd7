"""The statements that a version really uses, as pg_stat_statements has them, held against a changed schema by the real server."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from migrator import fingerprint
from migrator.compatibility import classify
from migrator.rehearsal import Policy, statements_from
from migrator.rehearsal.evidence import Evidence, Outcome, again, large_tables, look, seen_by_server
from migrator.rehearsal.evidence import given as with_list
from migrator.rehearsal.weighing import weighed
from tests.cluster.private_postgres import PrivatePostgres

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

SCHEMA = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL, amount bigint NOT NULL, note text, placed timestamptz);
CREATE INDEX orders_customer ON orders (customer);
CREATE TABLE lines (id bigint GENERATED ALWAYS AS IDENTITY, "order" bigint REFERENCES orders (id), item text, PRIMARY KEY (id));
CREATE TABLE "user" (id int PRIMARY KEY, "group" text);
CREATE TABLE unused (id int, a text, b int);
CREATE VIEW totals AS SELECT customer, sum(amount) AS total FROM orders GROUP BY customer;
CREATE FUNCTION total_of(text) RETURNS bigint LANGUAGE sql STABLE RETURN (SELECT sum(amount) FROM orders WHERE customer = $1);
CREATE FUNCTION spare(int) RETURNS int LANGUAGE sql RETURN $1;
CREATE FUNCTION by_name() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT b FROM unused LIMIT 1); END $$;
"""
USED = (
    "SELECT id, customer FROM orders WHERE customer = 'a'",
    "SELECT * FROM orders WHERE id = 1",
    "INSERT INTO orders (id, customer, amount) VALUES (1, 'a', 2) ON CONFLICT (id) DO NOTHING",
    "UPDATE orders SET amount = 3 WHERE id = 1 RETURNING amount",
    'SELECT item FROM lines WHERE "order" = 1 ORDER BY item LIMIT 3',
    'SELECT "group" FROM "user" WHERE id = 2',
    "SELECT total FROM totals WHERE customer = 'b'",
    "SELECT total_of('a') + 1",
    "DELETE FROM lines WHERE item = 'x'",
    "SELECT json_build_object('customer', customer, 'amount', sum(amount)) FROM orders GROUP BY customer",
    "WITH o AS (SELECT id FROM orders WHERE placed > now() - interval '1 day') SELECT count(*) FROM o JOIN lines l ON l.\"order\" = o.id",
)


@pytest.fixture(scope="module")
def private() -> Iterator[PrivatePostgres]:
    with PrivatePostgres(host="127.0.0.1") as server:
        server.configure("shared_preload_libraries = 'pg_stat_statements'")
        yield server


@pytest.fixture(scope="module")
def seen(private: PrivatePostgres) -> Iterator[tuple[psycopg.Connection, Evidence]]:
    """A database that was used for a while, and what the server has seen of it."""
    with psycopg.connect(private.uri(), autocommit=True) as maintenance:
        maintenance.execute("CREATE DATABASE shop")
        with psycopg.connect(make_conninfo(private.uri(), dbname="shop"), autocommit=True) as real:
            real.execute("CREATE EXTENSION pg_stat_statements")
            real.execute(SCHEMA)
            real.execute("INSERT INTO orders SELECT n, 'c' || n, n FROM generate_series(10, 20100) n; ANALYZE orders")
            real.execute("SELECT pg_stat_statements_reset()")
            for each in USED * 2:
                real.execute(each.encode())
            yield maintenance, seen_by_server(real, maintenance, "shop")


@pytest.fixture
def scratch(private: PrivatePostgres, seen: tuple[psycopg.Connection, Evidence]) -> Iterator[psycopg.Connection]:
    maintenance, _ = seen
    maintenance.execute("DROP DATABASE IF EXISTS scratch WITH (FORCE)")
    maintenance.execute("CREATE DATABASE scratch")
    with psycopg.connect(make_conninfo(private.uri(), dbname="scratch"), autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def names(changed: Sequence[object]) -> list[str]:
    return [each.statement.text.partition("WHERE")[0].strip() for each in changed]  # type: ignore[attr-defined]


def after(scratch: psycopg.Connection, evidence: Evidence, change: str, large: dict[str, int] | None = None) -> Outcome:
    looked = look(scratch, evidence, large or {}, print)
    scratch.execute(change.encode())
    return again(scratch, looked)


def test_the_statements_that_the_server_has_seen_are_those_that_were_used_without_constants(
    scratch: psycopg.Connection, seen: tuple[psycopg.Connection, Evidence]
) -> None:
    looked = look(scratch, seen[1], {}, print)
    texts = [each.text for each in looked.statements]
    assert len(texts) == len(USED), texts
    assert not [each for each in texts if "'a'" in each]
    assert {each.calls for each in looked.statements} == {2}
    assert looked.source == "pg_stat_statements"
    assert looked.since
    by_start = {each.text.split()[0] + each.text.split()[1]: each.shape for each in looked.statements}
    assert by_start["UPDATEorders"].writes == ("public.orders",)
    assert "public.orders.amount" in by_start["UPDATEorders"].touches
    assert 'public."user"."group"' in by_start['SELECT"group"'].touches
    assert "public.total_of(text)" in by_start["SELECTtotal_of($1)"].touches
    assert "public.totals.total" in by_start["SELECTtotal"].touches


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("ALTER TABLE orders DROP COLUMN note", []),
        ("ALTER TABLE lines DROP COLUMN item", ["DELETE FROM lines", "SELECT item FROM lines"]),
        ('ALTER TABLE "user" RENAME COLUMN "group" TO team', ['SELECT "group" FROM "user"']),
        ("DROP FUNCTION total_of(text)", ["SELECT total_of($1) + $2"]),
        ("CREATE FUNCTION total_of(integer) RETURNS bigint LANGUAGE sql RETURN $1", []),
        ("ALTER TABLE orders ADD CONSTRAINT positive CHECK (amount > 0)", []),
        ("DROP TABLE unused", []),
        ("ALTER TABLE orders ALTER id TYPE text USING id::text", None),
        (
            "ALTER TABLE orders DROP CONSTRAINT orders_pkey CASCADE",
            ["INSERT INTO orders (id, customer, amount) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"],
        ),
    ],
)
def test_a_statement_that_fails_is_named_and_none_that_works(
    change: str, broken: list[str] | None, scratch: psycopg.Connection, seen: tuple[psycopg.Connection, Evidence]
) -> None:
    looked = look(scratch, seen[1], {}, print)
    if "lines" not in change and "id TYPE" in change:
        scratch.execute("DROP TABLE lines CASCADE")
        looked = look(scratch, seen[1], {}, print)
        scratch.execute("DROP VIEW totals; DROP FUNCTION total_of(text)")
    scratch.execute(change.encode())
    outcome = again(scratch, looked)
    if broken is not None:
        assert sorted(names(outcome.broken)) == sorted(broken)
    for each in looked.statements:
        assert (each in [c.statement for c in outcome.broken]) == fails(scratch, each.text), each.text


def fails(connection: psycopg.Connection, text: str) -> bool:
    """Whether a statement fails when it is really run, with constants that suit it."""
    real = next(each for each in USED if shape(each) == shape(text))
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL enable_seqscan = on")
            connection.execute(real.encode())
    except psycopg.Error as error:
        return (error.sqlstate or "")[:2] == "42"
    return False


def shape(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\$\d+|'[^']*'|\b\d+\b", "?", text)).replace("interval ?", "?")


def test_a_result_of_another_shape_is_told_apart_from_one_that_fails(
    scratch: psycopg.Connection, seen: tuple[psycopg.Connection, Evidence]
) -> None:
    outcome = after(scratch, seen[1], "ALTER TABLE orders ADD COLUMN channel text")
    assert (names(outcome.broken), names(outcome.reshaped)) == ([], ["SELECT * FROM orders"])
    assert outcome.reshaped[0].why == "its result comes with channel"


def test_an_index_that_a_large_table_s_statement_needs_is_missed(
    scratch: psycopg.Connection, seen: tuple[psycopg.Connection, Evidence], private: PrivatePostgres
) -> None:
    with psycopg.connect(make_conninfo(private.uri(), dbname="shop"), autocommit=True) as real:
        large = large_tables(real)
    assert set(large) == {"public.orders"}
    outcome = after(scratch, seen[1], "DROP INDEX orders_customer", large)
    assert "SELECT id, customer FROM orders" in names(outcome.slower)
    assert "about 20,0" in outcome.slower[0].why
    assert "SELECT * FROM orders" not in names(outcome.slower), "it is found by its key as before"


def test_nothing_is_run_and_nothing_is_left(
    scratch: psycopg.Connection, seen: tuple[psycopg.Connection, Evidence]
) -> None:
    evidence = with_list(
        ["INSERT INTO unused VALUES (1) RETURNING id", "SELECT pg_sleep(60)", "DROP TABLE orders", "SELECT nosuch"],
        Evidence(),
    )
    looked = look(scratch, evidence, {}, print)
    again(scratch, looked)
    assert scratch.execute("SELECT count(*) FROM unused").fetchone() == (0,)
    assert scratch.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    assert scratch.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'rollout%'").fetchone() == (0,)
    assert looked.aside == 1
    assert [each.text for each in looked.statements] == ["INSERT INTO unused VALUES (1) RETURNING id"]


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ("ALTER TABLE lines DROP COLUMN item", "breaks", "Used by: "),
        ("ALTER TABLE unused DROP COLUMN a", "risky", "Unconfirmed: none of the "),
        # The body of a function names it, and what a function does no statement tells.
        ("ALTER TABLE unused DROP COLUMN b", "breaks", ""),
        ("DROP FUNCTION spare(int)", "risky", "Unconfirmed: none of the "),
        ("DROP FUNCTION total_of(text)", "breaks", "Used by: "),
        ("ALTER TABLE orders ADD COLUMN must text NOT NULL", "breaks", "Used by: INSERT INTO orders"),
        ("ALTER TABLE unused ADD COLUMN must text NOT NULL", "risky", "Unconfirmed"),
    ],
)
def test_a_static_finding_counts_for_what_the_statements_say_of_it(
    change: str, level: str, says: str, scratch: psycopg.Connection, seen: tuple[psycopg.Connection, Evidence]
) -> None:
    before = fingerprint.take(scratch)
    looked = look(scratch, with_list([], seen[1]), {}, print)
    scratch.execute(change.encode())
    found = weighed(classify(before, fingerprint.take(scratch)), before, looked, Policy())
    worst = next(each for each in found if each["rule"] not in ("cached-plan",))
    assert (worst["level"], says in worst["why"]) == (level, True), worst


def test_what_was_counted_for_too_short_a_time_speaks_against_nothing(
    scratch: psycopg.Connection, seen: tuple[psycopg.Connection, Evidence]
) -> None:
    before = fingerprint.take(scratch)
    looked = look(scratch, seen[1], {}, print)
    scratch.execute("ALTER TABLE unused DROP COLUMN a")
    [young] = weighed(classify(before, fingerprint.take(scratch)), before, looked, Policy())[:1]
    assert young["level"] == "breaks"
    assert "less than 24 h" in young["why"]
    [trusted] = weighed(classify(before, fingerprint.take(scratch)), before, looked, Policy(default="warn"))[:1]
    assert trusted["level"] == "risky"


def test_without_the_extension_it_is_said(private: PrivatePostgres, scratch: psycopg.Connection) -> None:
    with psycopg.connect(private.uri(), autocommit=True) as maintenance:
        found = seen_by_server(scratch, maintenance, "scratch")
    assert (found.statements, "is not there" in found.note) == ((), True)


COLUMNS = ("id", "customer", "amount", "note", "placed")
CHANGES = st.sampled_from(
    [
        *(f"ALTER TABLE orders DROP COLUMN {name} CASCADE" for name in COLUMNS),
        *(f"ALTER TABLE orders RENAME COLUMN {name} TO other" for name in COLUMNS),
        "ALTER TABLE orders ADD COLUMN extra int",
        "ALTER TABLE orders RENAME TO placed_orders",
        "ALTER TABLE orders ALTER placed TYPE timestamp",
        "ALTER TABLE orders ALTER note TYPE varchar(10)",
        "ALTER TABLE lines DROP COLUMN item",
        "DROP VIEW totals CASCADE",
        "SELECT 1",
    ]
)
SELECTED = st.builds(
    lambda columns, where, op: f"SELECT {', '.join(columns)} FROM orders WHERE {where} {op} $1",
    st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4, unique=True),
    st.sampled_from(COLUMNS),
    st.sampled_from(("=", "<", "IS DISTINCT FROM")),
)
WRITTEN = st.one_of(
    st.builds(lambda c: f"UPDATE orders SET {c} = $1 WHERE id = $2", st.sampled_from(COLUMNS)),
    st.builds(lambda c: f"DELETE FROM orders WHERE {c} = $1", st.sampled_from(COLUMNS)),
    st.builds(lambda c: f"INSERT INTO orders ({c}) VALUES ($1)", st.sampled_from(COLUMNS)),
    st.builds(
        lambda c: f'SELECT item, {c} FROM lines JOIN orders o ON o.id = "order" ORDER BY {c}',
        st.sampled_from(COLUMNS[1:]),
    ),
    st.builds(
        lambda c: f"SELECT {c}, count(*) FROM orders GROUP BY {c} HAVING count(*) > $1", st.sampled_from(COLUMNS)
    ),
    st.just("SELECT total FROM totals"),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.one_of(SELECTED, WRITTEN), min_size=8, max_size=24, unique=True), change=CHANGES)
def test_of_any_statements_and_any_change_exactly_those_are_named_that_the_server_refuses(
    texts: list[str], change: str, scratch: psycopg.Connection, private: PrivatePostgres
) -> None:
    uri = make_conninfo(private.uri(), dbname="scratch")
    scratch.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    scratch.execute(SCHEMA)
    with psycopg.connect(uri, autocommit=True) as connection:
        looked = look(connection, with_list(texts, Evidence()), {}, print)
        assert looked.aside == 0
        connection.execute(change.encode())
        outcome = again(connection, looked)
        named = {each.statement.text for each in outcome.broken}
    with psycopg.connect(uri, autocommit=True) as other:
        for text in texts:
            try:
                # By SQL's own PREPARE, which is another way into the server's parser.
                other.execute(f"PREPARE tried AS {text}".encode())
                other.execute("DEALLOCATE tried")
                refused = False
            except psycopg.Error:
                refused = True
            assert (text in named) == refused, (change, text)


LOG = """2026-11-03 10:00:00 UTC [12] LOG:  execute <unnamed>: SELECT a
\tFROM t WHERE b = $1
2026-11-03 10:00:00 UTC [12] DETAIL:  parameters: $1 = '4'
2026-11-03 10:00:01 UTC [12] LOG:  duration: 0.123 ms  statement: INSERT INTO t VALUES (1)
2026-11-03 10:00:02 UTC [12] LOG:  checkpoint starting: time
2026-11-03 10:00:03 UTC [12] LOG:  execute <unnamed>: SELECT a
\tFROM t WHERE b = $1
"""


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (LOG, ("SELECT a FROM t WHERE b = $1", "INSERT INTO t VALUES (1)")),
        ("SELECT 1;\n-- two\nSELECT ';';\n", ("SELECT 1", "SELECT ';'")),
        ("", ()),
    ],
)
def test_a_file_of_statements_is_sql_or_the_server_s_log(content: str, found: tuple[str, ...], tmp_path: Path) -> None:
    text = base64.b64encode(zlib.compress(content.encode())).decode()
    assert tuple(each.strip() for each in statements_from(text)) == found
