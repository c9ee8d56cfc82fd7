from __future__ import annotations

import base64
import html
import json
import shlex
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.redact import MASK, Redactor, secret_values
from tests.unit.hostile import hostile

S = "Hunter2xyz"


def test_known_value_is_replaced_plain_and_url_quoted() -> None:
    clean = Redactor(["p@ss/word"])
    assert clean("login with p@ss/word, or p%40ss%2Fword, or p%40ss%2fword") == (
        "login with [secret], or [secret], or [secret]"
    )


# Each is a spelling of some program, driver, shell, client or logger.
@pytest.mark.parametrize(
    "text",
    [
        # URIs: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
        f"connecting to postgresql://app:{S}@db:5432/x",
        f"postgres://app:{S}@db/x?sslmode=require failed",
        f"postgres://app:p@{S}@db/x",
        f"postgres://app:p/{S}@db/x",
        f"postgres://app:p#{S}@db/x",
        f"postgres://app:p?{S}@db/x",
        f"redis://:{S}@cache:6379",
        f"amqp://a:{S}@one,amqp://b:{S}@two",
        f"https://{S}0123456789@git.example.com/x",
        # libpq, keyword/value
        f"dsn: host=db password={S} user=app",
        f"host=db password='a b {S}' user=app",
        f"host=db password = 'it\\'s {S}'",
        # environment
        f"PGPASSWORD='{S}'",
        f"DB_PASSWORD={S}",
        f"DB_PASS={S}",
        f"MYSQL_PWD={S}",
        f"spring.datasource.password={S}",
        # JSON, also within a text that is quoted itself; Python, Go, Ruby, YAML
        f'{{"password": "x", "uri": "amqp://u:{S}@mq"}}',
        f'{{"password":"{S}"}}',
        f'{{"password": "a\\"{S}", "x": 1}}',
        f'msg="{{\\"password\\":\\"a {S}\\"}}"',
        f"{{'password': '{S}'}}",
        f"map[password:{S} user:x]",
        f"{{User:app Password:{S} Host:x}}",
        f'password => "{S}"',
        f"password := {S}",
        f"password: {S}\nuser: app",
        f"PASSWORD: '{S} {S}'",
        # ADO.NET, JDBC, a query
        f"Server=db;User Id=x;Password={S};Database=y",
        f"Password={S},{S}",
        f"jdbc:postgresql://h/db?user=x&password={S}&ssl=true",
        # SQL
        f"ALTER ROLE app PASSWORD '{S}'",
        f"CREATE USER app WITH ENCRYPTED PASSWORD E'{S}'",
        # a character that is a space to some
        f"token=\x1c\x1d{S}",
        f"password=\u2028{S}",
        # commands
        f"--password {S}",
        f"--db-password={S}",
        f"--token {S}",
        # RFC 9110, 11.6.2
        f"Authorization: Bearer {S}",
        f"Authorization: Basic {S}==",
        f"Proxy-Authorization: Basic {S}",
        f'"Authorization":"Bearer {S}"',
        f"authorization=Bearer+{S}",
        f"-H 'Authorization: token {S}'",
        f'Authorization: Digest username="u", response="{S}"',
        f"sent Bearer {S}",
        f'curl -H "Authorization: Bearer {S}==" https://x',
        f"(Bearer {S}), next",
        f"Authorization: Be{S}",
        f"map[Authorization:[Bearer {S}] Accept:[*/*]]",
        # tokens and keys
        f"client_secret={S}",
        f"token={S}",
        f'"access_token":"{S}"',
        f"aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/{S}",
        f"secret_key='{S}0123456789'",
        f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{S}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_credentials_nobody_named_are_recognised_by_their_form(text: str) -> None:
    clean = Redactor()
    assert S not in clean(text)
    assert MASK in clean(text)
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    "text",
    [
        'password authentication failed for user "app" at postgresql://db:5432/x, POSTGRES_PASSWORD=$(OTHER)',
        "postgres://$(USER):$(PASSWORD)@host",
        "postgresql://host:5432?secret=ledger-db",
        'Secret "ledger-db" not found',
        "secret: not found",
        "secretName: ledger-db, imagePullSecrets: [pull]",
        'duplicate key value violates unique constraint "accounts_pkey"',
        "foreign key (a) references b (c), primary key: id, key=value",
        "account_key=users:001",
        "access_key_id=AKIAEXAMPLE",
        "invalid token: unexpected end of input",
        "Unexpected token = in JSON at position 4",
        'syntax error at or near token "x"',
        "token: EOF",
        "MAX_TOKENS=1048576, ALLOWED_TOKENS=USDC,USDT0, max_token=100, tokenizer=gpt",
        "wrong password for user app",
        "the password: authentication failed",
        "password: must not be empty",
        'field "password" is required',
        '"password": null, "password": "string", password=',
        "--token is required",
        "Bearer authentication required, Basic Authentication is off",
        "authorization: denied for user x",
        "tests pass: 3, fail: 2",
        # what the kubelet, PostgreSQL, pgx and OAuth say
        'MountVolume.SetUp failed for volume "db-password" : secret "db-password" not found',
        'MountVolume.SetUp failed for volume "api-token" : failed to sync secret cache: timed out waiting for the condition',
        "Error: couldn't find key POSTGRES_PASSWORD in Secret dev/ledger",
        'Failed to pull image "r.example.com/x:1": unauthorized: authentication required',
        'column "password": text, column "token": varchar',
        'ERROR: syntax error at or near "password"',
        "failed to connect to `user=app database=ledger`: hostname resolving error",
        "cannot parse `postgres://app:xxxxxx@localhost/db`: invalid port",
        'level=info msg="token refreshed" token_type=Bearer expires_in=3600',
        'WWW-Authenticate: Bearer realm="https://auth.example.com/token",service="registry"',
        "authorization: enabled, authorization=RBAC, --authorization-mode=Node,RBAC",
        "Prisma P1000: the provided database credentials for `app` are not valid",
        "password_file=/etc/app/password, /etc/passwd:12",
        "http://host:8080/@scope/pkg",
        "http://host:8080/path?email=a:b@c",
        "http://[::1]:8080/@x",
        "https://user@host/x git@github.com:a/b.git a@b.c",
        "oci://ghcr.io/x/y:1.2@sha256:0123456789abcdef0123456789",
        "ssm:/prod/db",
    ],
)
def test_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert Redactor()(text) == text


def test_short_values_are_not_replaced_everywhere() -> None:
    assert Redactor(["on"])("migration on hold") == "migration on hold"


def test_a_password_that_is_a_word_or_a_number_is_masked_as_a_whole_one_alone() -> None:
    clean = Redactor(["admin", "54321", "secret"])
    assert clean("administration of 1543210, superadmin") == "administration of 1543210, superadmin"
    assert clean("user admin, admin: 54321, line\\nadmin") == "user [secret], [secret]: [secret], line\\n[secret]"
    assert clean("a secret") == "a [secret]"


def test_each_line_of_a_secret_is_a_secret() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----\n"
    clean = Redactor([pem])
    assert clean("reading AQEFAASCBKcwggSjAgEAAoIB: bad") == "reading [secret]: bad"
    assert clean("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"
    assert "MIIE" not in clean(json.dumps({"k": pem}))


def within_base64(secret: str) -> str:
    return base64.b64encode(f"user:{secret}".encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": json.dumps,
    "json-utf8": lambda s: json.dumps(s, ensure_ascii=False),
    "json-in-json": lambda s: json.dumps(json.dumps(s)),
    "python": repr,
    "shell": shlex.quote,
    "url": lambda s: quote(s, safe=""),
    "form": quote_plus,
    "html": html.escape,
    "sql": lambda s: "'" + s.replace("'", "''") + "'",
    "libpq": lambda s: "'" + s.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64-1": lambda s: base64.b64encode(b"u" + s.encode() + b"x").decode(),
    "base64-2": lambda s: base64.b64encode(b"u:" + s.encode() + b"xy").decode(),
    "base64url": lambda s: base64.urlsafe_b64encode(b"u:" + s.encode()).decode().rstrip("="),
    "basic": within_base64,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@settings(max_examples=60, deadline=None)
@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, categories=["L", "N", "P", "S"]), min_size=6)
)
def test_a_known_secret_is_masked_in_every_spelling(spelling: str, secret: str) -> None:
    assume(MASK not in secret)
    written = SPELLINGS[spelling](secret)
    told = Redactor([secret])(f"a {written} b")
    assert MASK in told
    assert secret not in told
    assert written not in told


def test_secrets_of_a_configuration_are_its_uris_passwords_and_env_but_not_its_versions() -> None:
    modules = {
        "ledger": {
            "image": "ghcr.io/x/ledger",
            "version": "1.1.0",
            "env": {
                "API": "s3cr3t-value",
                "LEVEL": "debug",
                "MAX": "1048576",
                "WAIT": "30s",
                "DB_PASSWORD": "postgres",
                "SMTP": "smtp://u:mailword1@h",
            },
            "postgres": {"uri": "postgresql://u:pw%40word@h"},
        }
    }
    config = {"rollout:modules": json.dumps(modules), "rollout:token": "tok-12345", "rollout:debug": "true"}
    found = secret_values(config, {"rollout:modules", "rollout:token"})
    assert found == {"s3cr3t-value", "pw@word", "tok-12345", "postgres", "mailword1"}


@settings(max_examples=100, deadline=None)
@given(st.lists(hostile, max_size=3), hostile)
def test_whatever_secrets_and_texts_are_something_fit_to_show_comes_out(secrets: list[str], text: str) -> None:
    clean = Redactor(secrets)
    told = clean(text)
    told.encode()
    assert all(c in "\n\t" or c.isprintable() or unicodedata.category(c) == "Zs" for c in told)
