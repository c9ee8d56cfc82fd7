"""What is taken for a credential, and where it is looked for."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest

from policies.credentials import looks_like
from policies.rule import Unknowable
from policies.rules import no_credentials_in_outputs, no_plaintext_credentials
from policies.values import UNKNOWN, Program, Resource
from tests.unit.policies.manifests import judge, messages, program


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_PASSWORD", "hunter2"),
        ("apiKey", "abc"),
        ("clientSecret", "abc"),
        ("password", 12345678),
        ("dbPass", "hunter2"),
        ("SECRET_KEY_BASE", "a" * 64),
        ("RAILS_MASTER_KEY", "a" * 32),
        ("ENCRYPTION_KEY", "abc"),
        ("JWT_SIGNING_KEY", "abc"),
        ("POSTGRES_PASS", "hunter2"),
        ("MYSQL_PWD", "hunter2"),
        ("RABBITMQ_DEFAULT_PASS", "guest"),
        ("DB_PASSWORD_PROD", "hunter2"),
        ("PASSWORD1", "x"),
        ("PASSWORD", "changeme"),
        ("DB_PASSWORD", "${X:-hunter2}"),
        ("SECRET", "9f86d081884c7d659a2feaa0c55ad015"),
        ("SECRET", "a1b2c3d4-4f89-41d3-9a0c-0305e82c3301"),
        ("AUTHORIZATION", "Bearer abcdef"),
        ("URI", "postgresql://u:p@db/x"),
        ("URI", "postgresql://u:pa/ss@db/x"),
        ("URI", "postgresql://u:$(A)hunter2@db/x"),
        ("URI", "redis://:hunter2@cache"),
        ("URIS", "postgres://a,postgres://u:p@h2"),
        ("DSN", "host=db password=p"),
        ("DSN", "u:hunter2@tcp(db:3306)/x"),
        ("DSN", "Server=db;User Id=sa;Pwd=hunter2"),
        ("X", "-----BEGIN RSA PRIVATE KEY-----"),
        ("STRIPE", "sk_" + "live_51Habcdefghijklmnop"),
        ("GITLAB", "glpat" + "-abcdefghij0123456789"),
        ("GOOGLE", "AIza" + "SyA-abcdefghijklmnopqrstuvwxyz12345"),
        ("SLACK", "https://hooks.slack.com" + "/services/T000/B000/XXXX"),
        (".pgpass", "db:5432:*:u:hunter2"),
        ("userlist.txt", '"ledger" "hunter2"'),
        (".env", "A=b\nDB_PASSWORD=hunter2\n"),
        ("config.yaml", "database:\n  password: hunter2\n"),
        ("config.yaml", "headers: {Authorization: Bearer abcdef}"),
        ("config.json", '{"password": "hunter2"}'),
        (".dockerconfigjson", '{"auths":{"ghcr.io":{"auth":"dXNlcjpodW50ZXIy"}}}'),
        ("kubeconfig", "users: [{user: {client-key-data: LS0tLS1CRUdJTiBSU0E=}}]"),
        ("kubeconfig", "users: [{user: {token: abcdef.0123456789abcdef}}]"),
        ("roles.sql", "CREATE ROLE a LOGIN PASSWORD 'hunter2';"),
        ("roles.sql", "CREATE USER a IDENTIFIED BY 'hunter2'"),
    ],
)
def test_a_credential_is_told_by_its_name_or_its_value(name: str, value: object) -> None:
    assert looks_like(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_PASSWORD", "$(OTHER)"),
        ("PASSWORD_FILE", "/run/secret"),
        ("PASSWORD", "/run/secrets/pw"),
        ("PWD", "/app"),
        ("ALLOW_EMPTY_PASSWORD", "yes"),
        ("REQUIRE_PASSWORD", "no"),
        ("DB_PASSWORD", "vault:secret/data/db#password"),
        ("DB_PASSWORD", "file:///run/secrets/db"),
        ("TLS_SECRET", "ledger-tls"),
        ("tls-secret", "ledger-tls"),
        ("IMAGE_PULL_SECRET", "regcred"),
        ("VAULT_SECRET", "kv/data/ledger"),
        ("AWS_SECRET", "arn:aws:secretsmanager:eu-west-1:1:secret:db-AbC123"),
        ("NATIVE_TOKEN", "ETH"),
        ("TOKENS", "USDC,EURC"),
        ("CSRF_TOKEN", "X-CSRF"),
        ("CACHE_TOKEN", "$X"),
        ("TOKEN", ""),
        ("STACK", "dev"),
        ("URI", "postgresql://u:$(POSTGRES_PASSWORD)@db/x"),
        ("URI", "postgresql://db:5432/x"),
        ("URL", "https://example.org/a:b@c"),
        ("URL", "https://docs:8080/@user"),
        ("URLS", "http://a:80,http://u@b:80"),
        ("README", "use postgres://USER:PASSWORD@HOST/DB"),
        ("Caddyfile", "basicauth password={$PASSWORD}"),
        ("t.conf", 'password = {{ env "DB_PASSWORD" }}'),
        ("t.ini", "password = %(PGPASSWORD)s"),
        ("t.ini", "password_encryption = scram-sha-256"),
        ("t.yaml", "password: ''\nsecretKeyRef: {name: a, key: password}"),
        ("t.yaml", "Authorization: Bearer ${TOKEN}"),
        ("t.json", '{"password": {"type": "string"}}'),
        ("entry.sh", 'DATABASE_URL="postgres://u:$PW@db/x" psql "postgres://u:${PW}@db"'),
        ("roles.sql", "ALTER ROLE a PASSWORD :'pw'; ALTER ROLE b PASSWORD '$PW'"),
        ("t.json", '{"auth": "certificates"}'),
        ("nginx.conf", "proxy_pass http://ledger:8080;"),
    ],
)
def test_what_names_a_credential_or_says_where_it_is_is_none(name: str, value: str) -> None:
    assert looks_like(name, value) is None


@pytest.mark.measures
@pytest.mark.parametrize(
    "part",
    ["ab12", "a.b-", "a:b", "://a:", "eyJ-", "eyJhbGciOiJI.", "password ", "password=", "$(a", "-----BEGIN ", "a=", "--a ", "password=${", "password={{a", "password=$a-", "secret: a-", "token: a,", "curl -u ", "mysql ", "authorization: ", "a b:c@"],
)  # fmt: skip
def test_a_value_of_any_length_is_read_once(part: str) -> None:
    """In CPU seconds of this thread; read again from every offset, this takes minutes."""
    begun = time.thread_time()
    looks_like("data", part * (400_000 // len(part)))
    assert time.thread_time() - begun < 2


def with_container(**fields: Any) -> Program:
    (deployment,) = program(no_plaintext_credentials.PASSES).resources
    spec = deployment.props["spec"]["template"]["spec"]
    return Program(
        (replace(deployment, props={"spec": {"template": {"spec": {"containers": [spec["containers"][0] | fields]}}}}),)
    )


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "PGPASSWORD=hunter2 psql"],
        ["sh", "-c", "export DB_PASSWORD=hunter2; api"],
        ["--password", "hunter2"],
        ["--token=abc123"],
        ["curl", "-u", "user:hunter2", "http://x"],
        ["mysql", "-h", "db", "-phunter2"],
        ["redis-cli", "-a", "hunter2"],
        ["kubectl", "create", "secret", "generic", "x", "--from-literal=password=hunter2"],
    ],
)
def test_a_credential_in_a_command_is_refused(command: list[str]) -> None:
    for where, fields in (
        ("args", {"args": command}),
        ("livenessProbe.exec.command", {"livenessProbe": {"exec": {"command": command}}}),
    ):
        (found,) = judge(no_plaintext_credentials.RULE, with_container(**fields))
        assert f"in plain text in {where} of container 'ledger'" in str(found)


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", 'psql "host=db password=$PGPASSWORD"'],
        ["sh", "-c", "psql postgres://u:$POSTGRES_PASSWORD@db/x"],
        ["sh", "-c", 'test -n "$PASSWORD" || password=$(cat /run/secrets/p)'],
        ["sh", "-c", 'export PASSWORD="$(cat /run/x)"'],
        ["--password=$(DB_PASSWORD)"],
        ["pg_dump", "--no-password", "-h", "db"],
        ["mysql", "-h", "db", "-p$PW"],
        ["docker", "run", "-u", "1000:1000"],
    ],
)
def test_a_command_that_takes_a_credential_from_elsewhere_is_not(command: list[str]) -> None:
    assert judge(no_plaintext_credentials.RULE, with_container(args=command)) == []


def test_probes_hooks_headers_annotations_and_binary_data_are_looked_into() -> None:
    header = {"name": "Authorization", "value": "Bearer abcdef"}
    for fields in (
        {"readinessProbe": {"httpGet": {"httpHeaders": [header]}}},
        {"lifecycle": {"postStart": {"exec": {"command": ["curl", "https://u:hunter2@x"]}}}},
    ):
        assert len(judge(no_plaintext_credentials.RULE, with_container(**fields))) == 1
    uri = "postgres://u:hunter2@db"
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, annotations: {A}}\nbinaryData: {B}\n"
    for old, new in (("{A}", f'{{db: "{uri}"}}'), ("{B}", f"{{db: {b64encode(uri.encode()).decode()}}}")):
        text = config.replace(old, new).replace("{A}", "{}").replace("{B}", "{}")
        assert len(messages(no_plaintext_credentials.RULE, text)) == 1


def test_an_annotation_that_names_a_secret_is_none() -> None:
    text = no_plaintext_credentials.PASSES.replace(
        "{name: ledger}", "{name: ledger, annotations: {x/auth-password: a}}"
    )
    assert messages(no_plaintext_credentials.RULE, text) == []


def test_what_only_looks_like_a_credential_is_allowed_by_its_name() -> None:
    text = no_plaintext_credentials.PASSES.replace(
        "{name: ledger}", "{name: ledger, annotations: {note: 'password: x'}}"
    )
    (message,) = messages(no_plaintext_credentials.RULE, text)
    assert "a credential named password stands in plain text in the annotation note" in message
    assert messages(no_plaintext_credentials.RULE, text, allowed=["note"]) == []
    assert messages(no_plaintext_credentials.RULE, no_plaintext_credentials.FAILS, allowed=["POSTGRES_URI"]) == []


def test_what_may_be_a_credential_once_it_is_known_is_told_after_what_is_one() -> None:
    entries = [{"name": "URI", "value": UNKNOWN}, UNKNOWN, {"name": "PASSWORD", "value": "hunter2"}]
    judged = with_container(env=entries)
    wrong, unknowable = judge(no_plaintext_credentials.RULE, judged)
    assert "the variable PASSWORD of container 'ledger'" in str(wrong)
    assert unknowable == Unknowable(wrong.urn, "the variable URI of container 'ledger'")


def test_messages_do_not_repeat_the_credential() -> None:
    found = messages(no_plaintext_credentials.RULE, no_plaintext_credentials.FAILS)
    assert found
    assert "hunter2" not in str(found)


def exported(secrets: tuple[str, ...] = (), **outputs: Any) -> list[str]:
    stack = Resource("pulumi:pulumi:Stack", "s", "urn", outputs, secrets=frozenset(secrets))
    found = judge(no_credentials_in_outputs.RULE, Program((stack,)))
    return [f"unknown: {f.path}" if isinstance(f, Unknowable) else f.message for f in found]


@pytest.mark.parametrize(
    ("outputs", "path"),
    [
        ({"password": "hunter2"}, "password"),
        ({"password": 12345678}, "password"),
        ({"postgresPassword": UNKNOWN}, "postgresPassword"),
        ({"passwords": ["hunter2"]}, "passwords.0"),
        ({"database": {"password": {"value": "hunter2"}}}, "database.password.value"),
        ({"database": {"uri": "postgres://u:hunter2@db/x"}}, "database.uri"),
        ({"kubeconfig": "users: [{user: {client-key-data: LS0tLS1CRUdJTiBSU0E=}}]"}, "kubeconfig"),
    ],
)
def test_an_output_is_judged_by_every_name_on_the_way_to_it(outputs: dict[str, Any], path: str) -> None:
    (message,) = exported(**outputs)
    assert f"its output '{path}' is a credential" in message or f"its output '{path}' is a URI" in message
    assert exported(**outputs, namespace="dev", other=UNKNOWN) == [message, "unknown: other"]


@pytest.mark.parametrize(
    "outputs",
    [
        {"secret": "ledger-postgres"},
        {"pullSecret": "regcred", "tlsSecret": "ledger-tls"},
        {"secret": {"name": "Ledger"}},
        {"password": {"secretName": "ledger-postgres", "version": 3}},
        {"passwordFile": "/run/secrets/pw"},
        {"nativeToken": "ETH", "passwordRequired": True},
    ],
)
def test_an_output_that_says_where_a_credential_is_is_none(outputs: dict[str, Any]) -> None:
    assert exported(**outputs) == []


def test_an_output_that_is_a_pulumi_secret_is_one_whatever_its_name() -> None:
    (message,) = exported(("database",), database={"host": "db", "user": "ledger"})
    assert "its output 'database' is or holds a Pulumi secret" in message


def test_an_output_that_may_be_the_name_of_a_secret_is_told_as_not_known() -> None:
    assert exported(secret=UNKNOWN) == ["unknown: secret"]
