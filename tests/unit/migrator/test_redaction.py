"""Nothing that stands in a string of a file is printed: not the statement's, and not what the server quotes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.redaction import redacted
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
    assert without_strings("ALTER ROLE r PASSWORD correct-horse LOGIN") == "ALTER ROLE r PASSWORD '…' LOGIN"
