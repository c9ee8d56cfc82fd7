"""Creating and dropping a module's database."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator import database
from migrator.database import Target
from migrator.errors import DatabaseCommandFailed, DatabaseUnavailable
from migrator.settings import Settings
from tests.cluster.migrator.conftest import QUIET

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


@pytest.fixture
def target(server: str) -> Iterator[Target]:
    wanted = Target(f"migrator-test-{secrets.token_hex(4)}", server)
    yield wanted
    database.drop(wanted, QUIET, print)


def test_a_database_is_created_once_and_then_left_alone(target: Target) -> None:
    assert database.create(target, QUIET, print)
    assert not database.create(target, QUIET, print)


def test_of_five_at_once_one_creates_and_none_fails(target: Target) -> None:
    created: list[bool] = []
    threads = [threading.Thread(target=lambda: created.append(database.create(target, QUIET, print))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 4 + [True]


def test_a_database_in_use_is_dropped_and_one_that_is_gone_is_no_error(target: Target) -> None:
    database.create(target, QUIET, print)
    with contextlib.closing(psycopg.connect(make_conninfo(target.conninfo, dbname=target.name))):
        assert database.drop(target, QUIET, print)
    assert not database.drop(target, QUIET, print)


def test_the_server_s_own_databases_are_never_dropped(server: str) -> None:
    with pytest.raises(DatabaseCommandFailed):
        database.drop(Target("postgres", server), QUIET, print)


def test_a_wrong_password_is_told_at_once_and_not_shown(server: str) -> None:
    wrong = make_conninfo(server, password="canary-password")
    with pytest.raises(DatabaseUnavailable, match="authentication failed") as caught:
        database.create(Target("x", wrong), Settings(connect_budget=20), print)
    assert "canary" not in str(caught.value)


def test_an_unreachable_server_is_told_within_the_budget(server: str) -> None:
    said: list[str] = []
    with pytest.raises(DatabaseUnavailable, match="refused") as caught:
        database.create(Target("x", make_conninfo(server, port="1")), Settings(connect_budget=1), said.append)
    assert "Check host and port" in caught.value.hint
    assert any("trying again" in line for line in said)


def test_a_role_without_createdb_is_told_what_to_do(server: str, target: Target) -> None:
    role, password = f"migrator_test_{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(server, autocommit=True) as connection:
        may = connection.execute("SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user").fetchone()
        if not may or not may[0]:
            pytest.skip("this server's role may not create the role to test with")
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'".encode())
        try:
            poor = Target(target.name, make_conninfo(server, user=role, password=password))
            with pytest.raises(DatabaseCommandFailed, match="permission denied") as caught:
                database.create(poor, QUIET, print)
            assert f'ALTER ROLE "{role}" CREATEDB' in caught.value.hint
        finally:
            connection.execute(f"DROP ROLE {role}".encode())


def test_the_database_belongs_to_the_role_that_created_it(target: Target) -> None:
    database.create(target, QUIET, print)
    with psycopg.connect(make_conninfo(target.conninfo, dbname=target.name)) as connection:
        row = connection.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
        assert row.fetchone() == (conninfo_to_dict(target.conninfo)["user"],)
        connection.execute("CREATE TABLE mine ()")
