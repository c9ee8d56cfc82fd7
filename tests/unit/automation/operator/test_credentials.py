"""No credential is written or said, wherever it stands; each becomes a Secret, with the command that fills it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from automation.operator import import_files, text, translate
from automation.operator.errors import CannotImport
from automation.operator.write import as_json
from tests.unit.automation.operator.objects import Document, ledger, made, module, setting, stack

CANARY = "canary-Xk29"
ENV = "deployments.ledger.containers.ledger.env-vars"
ALL = (
    module("Auth", "auth"), module("Gateway", "gw", ingress={"host": "a.example.org", "scheme": "https"}),
    module("Orchestration"), module("Webhooks"), setting("broker.dsn", "nats://n:4222", name="n"), setting("temporal.dsn", "temporal://t:7233/n", name="t"),
)  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        setting("postgres.*.uri", f"postgresql://u:{CANARY}@pg:5432", "s1"),
        setting("postgres.*.uri", f"postgresql://pg:5432?secret=pg&password={CANARY}", "s1"),
        setting("postgres.*.uri", f"postgresql://pg:5432?secret=pg&sslpassword={CANARY}", "s1"),
        setting("broker.dsn", f"nats://u:{CANARY}@nats:4222", "s1"),
        setting("broker.dsn", f"nats://{CANARY}@nats:4222", "s1"),
        setting("broker.dsn", f"nats://nats:4222?token={CANARY}", "s1"),
        setting("broker.dsn", f"kafka://k:9092?saslEnabled=true&saslUsername=u&saslPassword={CANARY}&saslMechanism=PLAIN", "s1"),
        setting("temporal.dsn", f"temporal://u:{CANARY}@t:7233/n", "s1"),
        setting("opentelemetry.traces.dsn", f"http://u:{CANARY}@c:4318/v1/traces", "s1"),
        setting("opentelemetry.traces.dsn", f"http://c:4318/v1/traces?api-key={CANARY}", "s1"),
        setting("opentelemetry.traces.dsn", f"grpc://c:4317?headers=authorization%3D{CANARY}", "s1"),
        setting("elasticsearch.dsn", f"https://u:{CANARY}@e:9200"),
        setting("payments.encryption-key", CANARY),
        setting(ENV, f"API_TOKEN={CANARY}"),
        setting(ENV, f"MOOD={CANARY}"),
        setting(ENV, f"URL=https://{CANARY}@sentry.example.org/7"),
        setting(ENV, f'ARGS="a,--password={CANARY}"'),
        setting("deployments.ledger-worker.containers.ledger-worker.env-vars", f"X={CANARY}"),
        setting("jobs.ledger.containers.migrate.env-vars", f"X={CANARY}"),
        setting("deployments.ledger.spec.template.annotations", f"vault-token={CANARY}"),
        setting("services.ledger.annotations", f"x=https://u:{CANARY}@h"),
        setting("gateway.ingress.annotations", f"basic-auth-password={CANARY}"),
        setting("auth.issuers", f"https://u:{CANARY}@login.example.org"),
        setting('registries."ghcr.io".endpoint', f"mirror.example.org?pullSecret=p,password={CANARY}"),
        module("Stargate", serverURL="s:1", organizationID="o", stackID="s", auth={"clientID": "c", "clientSecret": CANARY, "issuer": "https://i"}),
        made("AuthClient", "c", {"stack": "s1", "id": "c", "secret": CANARY}),
        made("AuthClient", "c", {"stack": "s1", "id": "c", "public": True, "description": f"password={CANARY}"}),
        made("AuthClient", "c", {"stack": "s1", "id": "c", "public": True, "redirectUris": [f"https://u:{CANARY}@h/"]}),
        made("Database", "d", {"stack": "s1", "service": "ledger"}, status={"uri": f"postgresql://u:{CANARY}@pg:5432"}),
        made("Unheard", "c", {"stack": "s1", "password": CANARY}),
    ],
    ids=lambda document: json.dumps(document["spec"])[:70],
)  # fmt: skip
def test_a_credential_is_neither_written_nor_said(document: Document, tmp_path: Path) -> None:
    file = tmp_path / "in.yaml"
    others = [other for other in ALL if other["spec"].get("key") != document["spec"].get("key")]
    file.write_text(yaml.safe_dump_all([*ledger(document), *others]))
    refused, written = None, None
    try:
        written = import_files([file], tmp_path)
    except CannotImport as error:
        refused = str(error)
    if written is None:
        assert CANARY not in str(refused)
        return
    said = [file.read_text() for file in written.files]
    assert CANARY not in "".join([*said, text(written), json.dumps(as_json(written))])


@pytest.mark.parametrize(
    ("auth", "kept"), [({"signingKey": CANARY}, "auth-signing"), ({"delegatedOIDCServer": {"issuer": "https://i", "clientID": "c", "clientSecret": CANARY}}, "auth-delegated")]
)  # fmt: skip
def test_what_auth_has_in_plain_text_becomes_a_secret(auth: dict[str, Any], kept: str) -> None:
    imported = translate(ledger(module("Auth", "a", **auth)))
    assert CANARY not in json.dumps(imported.config)
    assert any(f"secret generic {kept} " in str(step) for step in imported.todo)


def test_what_is_certainly_no_credential_stays_a_text() -> None:
    """Anything else is right, too, in a Secret: the variable is the same, and the command is there."""
    env = 'LEVEL=1,LOG_LEVEL=debug,TIMEOUT=30s,ON=true,HOST="otel.telemetry:4317",DSN=$(POSTGRES_URI),RATIO=0.5'
    found = translate(ledger(setting(ENV, env))).config["modules"]["ledger"]["env"]
    assert all(isinstance(value, str) for value in found.values()), found
    found = translate(ledger(setting(ENV, "DB_PASSWORD=1234,API_TOKEN=$(OTHER),MODE=hunter2"))).config["modules"][
        "ledger"
    ]["env"]
    assert found["DB_PASSWORD"] == {"name": "ledger-env", "key": "DB_PASSWORD"}
    assert found["MODE"] == {"name": "ledger-env", "key": "MODE"}
    assert found["API_TOKEN"] == "$(OTHER)"


def commands(*documents: Document) -> list[str]:
    return [command for step in translate([*documents]).todo for command in step.commands]


def printed(command: str, answers: dict[str, str], tmp_path: Path) -> list[str]:
    """What kubectl is called with to make a Secret, by a shell in which ``kubectl get`` answers."""
    script = ["#!/bin/sh", 'case "$*" in', '*create*) for each in "$@"; do printf \'%s\\n\' "$each"; done;;']
    for what, answer in answers.items():
        (tmp_path / what.replace("/", "_")).write_text(answer)
        script.append(f"*{what}*) cat '{tmp_path}/{what.replace('/', '_')}';;")
    stub = tmp_path / "kubectl"
    stub.write_text("\n".join([*script, "esac"]))
    stub.chmod(0o755)
    done = subprocess.run(["bash", "-c", command], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, check=True)  # fmt: skip
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("uri", "username", "password"),
    [
        ("postgresql://formance:p%40ss%2Fword@pg:5432?disableSSLMode=true", "formance", "p%40ss%2Fword"),
        ("postgresql://u:p@ss@pg:5432", "u", "p@ss"),
        ("postgresql://u@pg:5432?application_name=a@b", "u", ""),
        ("postgresql://u:$HOME`id`'\\&!;@pg:5432", "u", "$HOME`id`'\\&!;"),
    ],
)
def test_the_login_of_a_uri_is_printed_as_it_stands_there(
    uri: str, username: str, password: str, tmp_path: Path
) -> None:
    """It goes into a URI again, so it stays percent-encoded."""
    documents = [stack(), module("Ledger", "l"), setting("postgres.*.uri", uri, name="pg")]
    (command,) = (c for c in commands(*documents) if "secret generic postgres " in c)
    assert password not in command or not password
    said = printed(command, {"settings.formance.com": uri}, tmp_path)
    assert said[-2:] == [f"--from-literal=username={username}", f"--from-literal=password={password}"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("LEVEL=1,API_TOKEN=s3 cr3t ,B=2", "s3 cr3t"),
        ('LEVEL=1,API_TOKEN="a,b c",B=2', "a,b c"),
        ('API_TOKEN="a$HOME"', "a$HOME"),
        ("XAPI_TOKEN=no, API_TOKEN=yes-it-is", "yes-it-is"),
    ],
)
def test_a_variable_is_printed_out_of_the_settings_map(value: str, expected: str, tmp_path: Path) -> None:
    (command,) = (c for c in commands(*ledger(setting(ENV, value))) if "secret generic ledger-env " in c)
    said = printed(command, {"settings.formance.com": value}, tmp_path)
    assert f"--from-literal=API_TOKEN={expected}" in said


def test_raw_credentials_stay_so_and_the_settings_say_it() -> None:
    documents = ledger(setting("postgres.ledger.uri", "postgresql://pg2:5432?secret=pg&secretCredentialsEncoding=raw"))
    uri = translate(documents).config["postgres"]["uri"]
    assert uri == "postgresql://pg2:5432?secret=pg&secretCredentialsEncoding=raw&sslmode=prefer"
    with_login = setting("postgres.ledger.uri", "postgresql://u:p@pg2:5432?secretCredentialsEncoding=raw")
    assert "Encoding" not in translate(ledger(with_login)).config["postgres"]["uri"]


def test_kafkas_password_is_decoded_on_the_way(tmp_path: Path) -> None:
    """The operator reads it as a parameter of the URI, so the pods have it without the encoding."""
    dsn = "kafka://k:9092?saslEnabled=true&saslUsername=u&saslPassword=a%26b+c&saslMechanism=PLAIN&tls=true"
    (command,) = (c for c in commands(*ledger(setting("broker.dsn", dsn))) if "secret generic broker " in c)
    assert printed(command, {"settings.formance.com": dsn}, tmp_path)[-1] == "--from-literal=password=a&b c"


def test_the_two_halves_of_temporals_certificate_are_one_secret() -> None:
    documents = [
        stack(version="v3.4.0"), module("Payments", "p", encryptionKey="ClaptonIsGod"), setting("postgres.*.uri", "postgresql://pg:5432?secret=pg", name="pg"),
        setting("temporal.dsn", "temporal://t:7233/ns", name="t"), setting("temporal.tls.crt", "C", name="c"), setting("temporal.tls.key", "K", name="k"),
    ]  # fmt: skip
    made = [c for c in commands(*documents) if "secret generic temporal " in c]
    assert len(made) == 1
    assert "--from-literal=tls.crt=" in made[0]
    assert "--from-literal=tls.key=" in made[0]
    # payments/deployments.go, getEncryptionKey: the object's key is never used, and keeps the setting's from being so.
    assert any(
        "spec.encryptionKey makes the operator encrypt with an empty key" in str(s) for s in translate(documents).todo
    )
    assert any(c.endswith("generic payments-encryption --from-literal=key=''") for c in commands(*documents))


def test_two_secrets_of_one_name_stay_two() -> None:
    documents = [
        stack(), module("Ledger", "l"), module("Auth", "a"),
        setting("postgres.ledger.uri", "postgresql://a:1@pg:5432", name="one"), setting("postgres.auth.uri", "postgresql://b:2@pg2:5432", name="two"),
    ]  # fmt: skip
    names = [c.split("generic ")[1].split()[0] for c in commands(*documents) if "secret generic postgres" in c]
    assert names == ["postgres", "postgres-2"]
    config = translate(documents).config
    uris = {config["postgres"]["uri"], config["modules"]["auth"]["postgres"]["uri"]}
    assert {uri.split("secret=")[1].split("&")[0] for uri in uris} == set(names)
