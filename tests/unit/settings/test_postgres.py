"""Database servers from URIs."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from settings import PostgresServer


def test_credentials_are_unquoted_and_quoted_again() -> None:
    server = PostgresServer.parse("postgresql://ad%40min:p%2Fss@db.example:6432?sslmode=verify-full")
    assert (server.username, server.password, server.port) == ("ad@min", "p/ss", 6432)
    assert server.uri("dev-ledger") == "postgresql://ad%40min:p%2Fss@db.example:6432/dev-ledger?sslmode=verify-full"


def test_parameters_are_written_so_that_libpq_reads_them_as_they_are() -> None:
    server = PostgresServer.parse("postgresql://u:p@h?options=-c%20role%3Dx&sslrootcert=/ca.crt")
    found = conninfo_to_dict(server.uri("x"))
    assert (found["options"], found["sslrootcert"]) == ("-c role=x", "/ca.crt")


def test_a_secret_reference_has_no_credentials_here() -> None:
    server = PostgresServer.parse("postgresql://db.example?secret=postgres")
    assert (server.secret, server.username, server.port, server.query) == ("postgres", None, 5432, "sslmode=require")
    with pytest.raises(ValueError, match="Kubernetes Secret"):
        server.uri("x")


@pytest.mark.parametrize(("encoding", "raw"), [("", False), ("urlEncoded", False), ("raw", True)])
def test_the_operators_encoding_of_credentials_is_no_parameter_of_the_connection(encoding: str, raw: bool) -> None:
    more = f"&secretCredentialsEncoding={encoding}" if encoding else ""
    server = PostgresServer.parse(f"postgresql://h?secret=s{more}")
    assert (server.raw, server.query) == (raw, "sslmode=require")


def test_the_operators_ssl_switch_is_understood() -> None:
    assert dict(PostgresServer.parse("postgresql://h?secret=s&disableSSLMode=true").parameters)["sslmode"] == "disable"


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("mysql://u:p@h", "must begin with postgresql://"),
        ("postgresql://", "names no host"),
        ("postgresql://u:p@h/db", "must not name a database"),
        ("postgresql://u:p@h:99999", "port"),
        ("postgresql://h", "no credentials"),
        ("postgresql://u@h", "no credentials"),
        ("postgresql://u:p@h?secret=s", "credentials once"),
        ("postgresql://u:p@h?sslmode=maybe", "sslmode"),
        ("postgresql://h?secret=s&secretCredentialsEncoding=base64", "allowed: urlEncoded, raw"),
        ("postgresql://u:p@h?secretCredentialsEncoding=raw", "for the credentials of"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(uri: str, what: str) -> None:
    with pytest.raises(ValueError, match=what) as error:
        PostgresServer.parse(uri)
    assert "p@h" not in str(error.value)


def test_the_password_is_not_in_the_repr() -> None:
    assert "canary" not in repr(PostgresServer.parse("postgresql://u:canary@h"))
