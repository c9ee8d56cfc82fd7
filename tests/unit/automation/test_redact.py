from __future__ import annotations

import json

import pytest

from automation.redact import Redactor, secret_values


def test_known_value_is_replaced_plain_and_url_quoted() -> None:
    clean = Redactor(["p@ss/word"])
    assert clean("login with p@ss/word, or p%40ss%2Fword") == "login with [secret], or [secret]"


@pytest.mark.parametrize(
    "text",
    [
        "connecting to postgresql://app:hunter2@db:5432/x",
        "postgres://app:hunter2@db/x?sslmode=require failed",
        "dsn: host=db password=hunter2 user=app",
        "PGPASSWORD='hunter2'",
        '{"password": "x", "uri": "amqp://u:hunter2@mq"}',
    ],
)
def test_credentials_nobody_named_are_recognised_by_their_form(text: str) -> None:
    assert "hunter2" not in Redactor()(text)


def test_text_without_secrets_stays_as_it_is() -> None:
    text = 'password authentication failed for user "app" at postgresql://db:5432/x, POSTGRES_PASSWORD=$(OTHER)'
    assert Redactor()(text) == text


def test_short_values_are_not_replaced_everywhere() -> None:
    assert Redactor(["on"])("migration on hold") == "migration on hold"


def test_secrets_of_a_configuration_are_its_uris_passwords_and_env_but_not_its_versions() -> None:
    modules = {
        "ledger": {
            "image": "ghcr.io/x/ledger",
            "version": "1.1.0",
            "env": {"API": "s3cr3t-value"},
            "postgres": {"uri": "postgresql://u:pw%40word@h"},
        }
    }
    config = {"rollout:modules": json.dumps(modules), "rollout:token": "tok-12345", "rollout:debug": "true"}
    assert secret_values(config, {"rollout:modules", "rollout:token"}) == {"s3cr3t-value", "pw@word", "tok-12345"}
