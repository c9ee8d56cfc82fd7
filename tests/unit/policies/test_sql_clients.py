"""A client that is given SQL fails with it, only looks, or goes on."""

from __future__ import annotations

import pytest

from policies.commands import Command, command


def judged(script: str) -> Command:
    return command(("sh", "-c", script))


# What psql 15 ends with, held against a server: 0 for each of these, with a statement in it that fails.
@pytest.mark.parametrize(
    "script",
    [
        *("psql -f schema.sql", "psql -1 -f schema.sql", "psql --file=schema.sql", "psql -qf schema.sql", "psql -v ON_ERROR_STOP -f schema.sql"),
        *("psql < schema.sql", "cat schema.sql | psql", "psql <<EOF\ncreate table a ();\nEOF", "psql -c 'create table a ()' -c 'select 1'"),
        *("psql -v ON_ERROR_STOP=1 -v ON_ERROR_STOP=0 -f schema.sql", "psql -c 'create table a ()' -f /dev/null", "PGOPTIONS=x timeout 60 psql -f a.sql"),
        *("mysql --force api", "sqlcmd -S db -i schema.sql"),
    ],
)  # fmt: skip
def test_a_client_that_goes_on_after_a_statement_is_no_gate(script: str) -> None:
    assert judged(script).other
    assert "goes on after a statement that has failed" in judged(script).hides


@pytest.mark.parametrize(
    "script",
    [
        *("psql -v ON_ERROR_STOP=1 -f schema.sql", "psql --set=ON_ERROR_STOP=on -f schema.sql", "psql -Xqv ON_ERROR_STOP=1 -f schema.sql"),
        *("psql -vON_ERROR_STOP= -f schema.sql", "psql -c 'create table a ()'", "psql -c 'select 1; create table a ()'", "psql -Atc 'create table a ()'"),
        *("psql --variable ON_ERROR_STOP=true < schema.sql", "psql <<EOF\n\\set ON_ERROR_STOP on\ncreate table a ();\nEOF"),
        *("psql -c '\\set ON_ERROR_STOP on' -f schema.sql", "psql -c 'select migrate_all()'", "mysql api < schema.sql", "sqlcmd -b -i schema.sql"),
    ],
)  # fmt: skip
def test_a_client_that_stops_is_one(script: str) -> None:
    assert judged(script).other
    assert judged(script).hides == ""


@pytest.mark.parametrize(
    "script",
    [
        *("psql -c 'select 1'", "psql -h db -Atc 'SELECT version()'", "psql --command='show all'", "psql -l", "psql --version", "psql -c '\\dt'"),
        *("psql -c 'select count(*) from users where a in (1, 2)'", "mysql -e 'select 1'", "sqlcmd -Q 'select 1'", "psql -c 'select 1;' -c 'select 2'"),
    ],
)  # fmt: skip
def test_a_client_that_only_looks_changes_nothing(script: str) -> None:
    assert (judged(script).migrates, judged(script).other) == (False, False)
