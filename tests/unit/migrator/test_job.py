"""Last words fit where Kubernetes keeps them, and never hold a password."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from migrator import database
from migrator.cli import main
from migrator.errors import DatabaseUnavailable, InvalidMigration, Terminated
from migrator.job import fit, hold_signals, install_signals, release_signals
from migrator.sessions import address, conninfo, without_password
from migrator.settings import Settings


@given(st.text(max_size=6000), st.text(max_size=6000), st.lists(st.text(max_size=500), max_size=20))
def test_last_words_are_json_of_at_most_4000_bytes(statement: str, message: str, blockers: list[str]) -> None:
    words: dict[str, object] = {"outcome": "failed", "sqlstate": "22012", "statement": statement}
    words |= {"message": message, "blockers": blockers}
    encoded = fit(words)
    assert len(encoded) <= 4000
    found = json.loads(encoded)
    assert found["outcome"] == "failed"
    assert found["sqlstate"] == "22012"


def test_short_last_words_are_left_as_they_are() -> None:
    words: dict[str, object] = {"outcome": "migrated", "applied": ["0001_a.sql"], "seconds": 0.1}
    assert json.loads(fit(words)) == words


@pytest.mark.parametrize("password", ["pa%ss-canary", "canary/x", "1/canary", "a@canary"])
def test_an_unreadable_connection_string_is_not_repeated(
    password: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    words = tmp_path / "words"
    environment = {"POSTGRES_URI": f"postgresql://user:{password}@host/db", "TERMINATION_LOG": str(words)}
    assert main(["migrate", "--directory", str(tmp_path), "--json"], environment) == 1
    out, err = capsys.readouterr()
    assert "canary" not in out + err + words.read_text()
    assert json.loads(words.read_text())["outcome"] == "unavailable"


def test_a_missing_uri_is_told_with_what_to_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = tmp_path / "words"
    assert main(["migrate", "--directory", str(tmp_path)], {"TERMINATION_LOG": str(words)}) == 2
    assert "POSTGRES_URI" in capsys.readouterr().err


def test_the_address_of_a_connection_shows_no_password() -> None:
    assert address("postgresql://me:secret@db:5433/ledger") == "me@db:5433/ledger"
    assert without_password("FATAL: secret wrong", conninfo("postgresql://me:secret@db")) == "FATAL: *** wrong"


@pytest.mark.parametrize("text", ["fast", "-1", "nan", "inf", ""])
def test_a_limit_that_is_no_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="MIGRATE_LOCK_TIMEOUT"):
        Settings.from_environment({"MIGRATE_LOCK_TIMEOUT": text})


def test_limits_come_from_the_environment() -> None:
    found = Settings.from_environment({"MIGRATE_LOCK_TIMEOUT": "0.5", "MIGRATE_CONNECT_TIMEOUT": "3", "OTHER": "x"})
    assert found.lock_timeout == 0.5
    assert found.connect_timeout == 3


SERVER = {"POSTGRES_HOST": "db", "POSTGRES_PORT": "5433", "POSTGRES_USERNAME": "me", "POSTGRES_PASSWORD": "p"}


def test_the_database_to_create_comes_from_its_own_variables() -> None:
    found = database.target({**SERVER, "POSTGRES_DATABASE": "dev-ledger", "POSTGRES_SSLMODE": "require"})
    assert found.name == "dev-ledger"
    assert "dbname=postgres" in found.conninfo
    assert "sslmode=require" in found.conninfo


def test_the_uri_fills_in_what_the_variables_leave_open() -> None:
    uri = "postgresql://me:p@db:5433/dev-ledger?sslmode=verify-full&sslrootcert=/ca.crt"
    for environment in ({**SERVER, "POSTGRES_URI": uri}, {"POSTGRES_URI": uri}):
        found = database.target(environment)
        assert found.name == "dev-ledger"
        assert "dbname=postgres" in found.conninfo
        assert "sslmode=verify-full" in found.conninfo


@pytest.mark.parametrize("password", ["p", "p/ss?w@rd"])
def test_whatever_else_the_uri_says_of_a_connection_holds_beside_the_variables(password: str) -> None:
    query = (
        "sslmode=verify-full&sslrootcert=/ca.crt&sslcert=%2Ftls.crt&sslkey=/tls.key&target_session_attrs=read-write"
        "&options=-c%20role%3Dx&pool_max_conns=5&host=elsewhere"
    )
    uri = f"postgresql://me:{password}@db:5433/dev-ledger?{query}"
    names = {"POSTGRES_DATABASE": "dev-ledger", "POSTGRES_SSLMODE": "verify-full"}
    without = "postgresql://me:p@db:5433"
    found = database.target({**SERVER, **names, "POSTGRES_URI": uri, "POSTGRES_NO_DATABASE_URI": without})
    assert conninfo_to_dict(found.conninfo) == {
        "host": "db",
        "port": "5433",
        "user": "me",
        "password": "p",
        "dbname": "postgres",
        "sslmode": "verify-full",
        "sslrootcert": "/ca.crt",
        "sslcert": "/tls.crt",
        "sslkey": "/tls.key",
        "target_session_attrs": "read-write",
        "options": "-c role=x",
    }


@pytest.mark.parametrize(
    ("in_the_secret", "password", "in_the_uri"),
    [
        ("p%40ss%2Fw%3Ard%2541", "p@ss/w:rd%41", True),  # as the URI needs it
        ("p@ss%41", "p@ss%41", False),  # as it is, beside the URI
        ("plain", "plain", True),
    ],
)
def test_a_password_has_the_form_of_the_uri_that_it_stands_in(
    in_the_secret: str, password: str, in_the_uri: bool
) -> None:
    who = f"me:{in_the_secret}@" if in_the_uri else ""
    server = {**SERVER, "POSTGRES_PASSWORD": in_the_secret, "POSTGRES_DATABASE": "dev-ledger"}
    found = database.target({**server, "POSTGRES_URI": f"postgresql://{who}db:5433/dev-ledger"})
    assert conninfo_to_dict(found.conninfo)["password"] == password


def test_a_target_without_name_or_server_is_refused() -> None:
    with pytest.raises(InvalidMigration, match="POSTGRES_HOST"):
        database.target({"POSTGRES_DATABASE": "x"})
    with pytest.raises(InvalidMigration, match="POSTGRES_DATABASE"):
        database.target(SERVER)
    with pytest.raises(InvalidMigration, match="63 bytes"):
        database.target({**SERVER, "POSTGRES_DATABASE": "x" * 64})
    with pytest.raises(DatabaseUnavailable):
        database.target({"POSTGRES_URI": "postgresql://host:port/x"})


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    install_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_waits_while_what_is_done_must_be_known(handlers: None) -> None:
    hold_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Terminated, match="SIGTERM"):
        release_signals()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "nothing breaks off the rollback"


def test_signals_come_through_again_afterwards(handlers: None) -> None:
    hold_signals()
    release_signals()
    with pytest.raises(Terminated):
        os.kill(os.getpid(), signal.SIGINT)
