"""Nothing that stands in a string of a file is printed: not the statement's, and not what the server quotes of it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.redaction import redacted, without_rows
from migrator.statements import split, without_strings

SECRET = "correct-horse-9"
STATEMENTS = [
    f"CREATE ROLE reporting LOGIN PASSWORD '{SECRET}'",
    f"ALTER USER reporting WITH ENCRYPTED PASSWORD E'{SECRET}'",
    f"ALTER ROLE reporting PASSWORD $${SECRET}$$",
    f'ALTER ROLE reporting PASSWORD "{SECRET}"',
    f"ALTER ROLE reporting PASSWORD {SECRET} CONNECTION LIMIT 3",
    f"CREATE SUBSCRIPTION s CONNECTION 'host=db user=me password={SECRET}' PUBLICATION p",
    f"CREATE SUBSCRIPTION s CONNECTION 'postgresql://me:{SECRET}@db/x' PUBLICATION p",
    f"CREATE USER MAPPING FOR me SERVER s OPTIONS (user 'me', password '{SECRET}')",
    f"SELECT dblink_connect('c', 'dbname=x password={SECRET}')",
    f"INSERT INTO t SELECT pgp_sym_encrypt('x', U&'{SECRET}')",
    f"COPY t FROM PROGRAM 'curl -u me:{SECRET} https://x'",
    f"DO $do$ BEGIN EXECUTE 'ALTER ROLE reporting PASSWORD ''{SECRET}'''; END $do$",
    f"DO $do$ BEGIN EXECUTE format('ALTER ROLE reporting PASSWORD %L', '{SECRET}'); END $do$",
    f"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'ALTER ROLE r PASSWORD ''{SECRET}'''",
    f"-- was: {SECRET}\nSELECT /* {SECRET} */ 1",
    f"CREATE SERVER s FOREIGN DATA WRAPPER f OPTIONS (token '{SECRET}')",
    f"SELECT set_config('app.key', '{SECRET}', false)",
    f"SET app.key = {SECRET}",
    f"SET LOCAL app.part.key TO other, {SECRET}",
    f'ALTER DATABASE d SET app.key TO "{SECRET}"',
    f"ALTER ROLE r IN DATABASE d SET session.key = {SECRET}",
    f"CREATE FUNCTION f() RETURNS int SET app.key = {SECRET} LANGUAGE sql AS 'SELECT 1'",
    f"DO $do$ BEGIN SET app.key = {SECRET}; EXECUTE 'SET app.key = {SECRET}'; END $do$",
]


@pytest.mark.parametrize("sql", STATEMENTS)
@pytest.mark.parametrize("characters", [30, 60, 300])
def test_a_statement_is_shown_without_what_is_in_its_strings(sql: str, characters: int) -> None:
    (statement,) = split(sql)
    shown = statement.shortened(characters)
    assert SECRET[:7] not in shown
    assert shown.split()[0] == statement.words[0]


@pytest.mark.parametrize("sql", [each for each in STATEMENTS if "--" not in each])
@pytest.mark.parametrize(
    "said",
    [
        'missing "=" after "{}" in connection info string',
        'syntax error at or near "{}"',
        "syntax error at or near \"'{}'\"",
        "Failing row contains (1, {}, x).",
        "Key (token)=({}) already exists.",
        "bad token {}.",
        "SQL statement \"ALTER ROLE reporting PASSWORD '{}'\" PL/pgSQL function f() line 3 at EXECUTE",
        'program "curl -u me:{} https://x" failed',
    ],
)
def test_what_the_server_quotes_of_a_string_is_left_out(sql: str, said: str) -> None:
    assert SECRET not in redacted(said.format(SECRET), sql)


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT '{SECRET[:5]}' || '{SECRET[5:]}'",
        f"SELECT '{SECRET[:5]}'\n    '{SECRET[5:]}'",
        f"SELECT E'{SECRET[:5]}' || $${SECRET[5:9]}$$ || '{SECRET[9:]}'",
        f"SELECT U&'\\0063{SECRET[1:]}'",
        f"SELECT U&'!+000063{SECRET[1:]}' UESCAPE '!'",
        f"SELECT u&'{SECRET[:-1]}\\0039'",
        f"SELECT decode('{base64.b64encode(SECRET.encode()).decode()}', 'base64')",
        f"SELECT decode('{SECRET.encode().hex()}', 'hex')",
        f"SELECT '\\x{SECRET.encode().hex()}'::bytea",
        f"DO $$ BEGIN PERFORM convert_from('\\x{SECRET.encode().hex()}', 'UTF8')::regclass; END $$",
    ],
)
def test_a_string_in_another_form_is_left_out_too(sql: str) -> None:
    assert SECRET not in redacted(f'relation "{SECRET}" does not exist', sql)


DATA = 'correct "horse" (9)=(x'


@pytest.mark.parametrize(
    ("sqlstate", "said", "shown"),
    [
        ("23502", f"Failing row contains (1, {DATA}).", "Failing row contains (…)."),
        ("23514", f"Failing row contains ({DATA}, null).", "Failing row contains (…)."),
        ("23514", f"Partition key of the failing row contains (a) = ({DATA}).", "Partition key of the failing row contains (…)."),
        ("23505", f"Key (lower(token), b)=({DATA}) already exists.", "Key (lower(token), b)=(…) already exists."),
        ("23505", f"Schlüssel »(token)=({DATA})« existiert bereits.", "Schlüssel »(token)=(…)« existiert bereits."),
        ("23503", f'Key (a)=({DATA}) is not present in table "b".', 'Key (a)=(…) is not present in table "b".'),
        ("23P01", f"Key (c)=({DATA}) conflicts with existing key (c)=({DATA}).", "Key (c)=(…)."),
        ("22P02", f'Token "{DATA}" is invalid.', 'Token "…" is invalid.'),
        ("22007", f"ungültige Eingabe: »{DATA}«", "ungültige Eingabe: »…«"),
        ("22P02", f"syntaxe invalide : « {DATA} »", "syntaxe invalide : «…»"),
    ],
)  # fmt: skip
def test_what_is_in_rows_is_left_out_and_where_it_is_stays(sqlstate: str, said: str, shown: str) -> None:
    assert without_rows(sqlstate, "", said)[1] == shown
    assert sqlstate[:2] == "23" or without_rows(sqlstate, said)[0] == shown


@pytest.mark.parametrize("sqlstate", ["22P02", "22P04", "23505", "42804"])
@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f'COPY t, line 1, column a: "{DATA}"', "COPY t, line 1, column a: …"),
        (f"JSON data, line 1: {{{DATA}", "JSON data, line 1: …"),
        (f"unnamed portal with parameters: $1 = '{DATA}'", "unnamed portal with parameters: …"),
        ("PL/pgSQL function f(integer) line 3 at assignment", "PL/pgSQL function f(integer) line 3 at assignment"),
        ('SQL function "f" statement 1', 'SQL function "f" statement 1'),
        ('SQL statement "SELECT a::int FROM t"', 'SQL statement "SELECT a::int FROM t"'),
    ],
)
def test_of_a_line_of_context_its_data_is_left_out(sqlstate: str, line: str, shown: str) -> None:
    found = without_rows(sqlstate, "", "", [line])[2]
    assert found == (shown.replace('"f"', '"…"') if sqlstate.startswith("22") else shown)


def test_a_statement_that_a_function_of_an_earlier_file_runs_is_shown_without_its_strings_too() -> None:
    said = "SQL statement \"ALTER ROLE r PASSWORD 'hunter2'\"\nPL/pgSQL function f() line 3 at EXECUTE"
    expected = "SQL statement \"ALTER ROLE r PASSWORD '…'\"\nPL/pgSQL function f() line 3 at EXECUTE"
    assert redacted(said, "SELECT f()") == expected


@pytest.mark.parametrize(
    ("said", "sql"),
    [
        ('relation "accounts" does not exist', "INSERT INTO accounts VALUES ('accounts', 'relation')"),
        ('column "name" of relation "t" already exists', "ALTER TABLE t ADD COLUMN name text DEFAULT 'x'"),
        ('duplicate key value violates unique constraint "t_pkey"', "INSERT INTO t VALUES ('key', 'value')"),
        ("seven rows have no owner", "DO $$ BEGIN RAISE EXCEPTION 'seven rows have no owner'; END $$"),
        ("la relation « x » n'existe pas, l'index non plus", "DROP TABLE x"),
        ("Key (id)=(42) already exists.", "INSERT INTO t VALUES (42, 'EUR')"),
    ],
)
def test_what_is_no_secret_stays_readable(said: str, sql: str) -> None:
    assert redacted(said, sql) == said


@given(st.text("aE;'\"$-/*()\n\\ U&", max_size=40), st.text(max_size=60))
def test_any_text_is_taken(sql: str, said: str) -> None:
    without_strings(sql)
    redacted(said, sql)


@given(
    st.text("abcxyz", min_size=8, max_size=12),
    st.sampled_from(["'{}'", "E'{}'", "$${}$$", "$q${}$q$", "U&'{}'", "'x={}'"]),
)
def test_no_string_is_shown_whatever_its_form(secret: str, form: str) -> None:
    assert secret not in without_strings(f"SELECT f({form.format(secret)}, 1)")


def test_a_column_named_password_is_no_secret() -> None:
    sql = "CREATE TABLE users (name text, password text NOT NULL)"
    assert without_strings(sql) == sql
    assert without_strings("SET search_path = a; UPDATE t SET b = c") == "SET search_path = a; UPDATE t SET b = c"
    assert without_strings("SET app.key TO DEFAULT; SELECT a") == "SET app.key TO DEFAULT; SELECT a"
    assert without_strings("ALTER ROLE r PASSWORD correct-horse LOGIN") == "ALTER ROLE r PASSWORD '…' LOGIN"


def test_what_a_statement_before_it_has_set_is_left_out_of_an_error_too() -> None:
    said = 'role "correct-horse" does not exist'
    sql = "SELECT current_setting('app.key')::regrole"
    for before in ("SET app.key = 'correct-horse'", "SET app.key = correct-horse"):
        assert redacted(said, sql, before) == 'role "…" does not exist'
    assert redacted('relation "t" does not exist', "SELECT FROM t", "SELECT 't'") == 'relation "t" does not exist'
