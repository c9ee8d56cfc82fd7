"""The sample in the place of other modules: it starts with what its kind needs, and with nothing less."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from devkit.sample import strict, versions
from devkit.sample.app import Ledger

POSTGRES = {
    "POSTGRES_HOST": "db",
    "POSTGRES_PORT": "5432",
    "POSTGRES_DATABASE": "dev-ledger",
    "POSTGRES_USERNAME": "u",
    "POSTGRES_PASSWORD": "p",
    "POSTGRES_URI": "postgresql://u:p@db/dev-ledger",
}
LEDGER = {
    **POSTGRES,
    "STACK": "dev",
    "DEBUG": "false",
    "DEV": "false",
    "NODE_IP": "10.0.0.1",
    "BIND": ":8080",
    "STORAGE_DRIVER": "postgres",
    "STORAGE_POSTGRES_CONN_STRING": POSTGRES["POSTGRES_URI"],
}


def problems(kind: str, environment: dict[str, str], process: str = "serve", more: bytes = b"") -> list[str]:
    given = b"".join(f"{k}={v}\0".encode() for k, v in environment.items()) + more
    return strict.problems(kind, process, environment, given)


def test_it_starts_with_what_its_kind_needs() -> None:
    assert problems("ledger", LEDGER) == []


@pytest.mark.parametrize("missing", LEDGER)
def test_it_does_not_start_without_a_variable_that_it_needs(missing: str) -> None:
    environment = {k: v for k, v in LEDGER.items() if k != missing}
    assert f"{missing} is not set" in problems("ledger", environment)


def test_it_does_not_start_with_a_variable_that_is_there_twice() -> None:
    assert problems("ledger", LEDGER, more=b"BIND=:9090\0") == ["BIND is there 2 times"]


def test_it_does_not_start_with_a_reference_that_was_not_filled_in() -> None:
    uri = "$(POSTGRES_NO_DATABASE_URI)/dev-ledger"
    found = problems("ledger", LEDGER | {"POSTGRES_URI": uri, "STORAGE_POSTGRES_CONN_STRING": uri})
    assert "POSTGRES_URI refers to what is not set before it: $(POSTGRES_NO_DATABASE_URI)/dev-ledger" in found


def test_it_does_not_start_on_another_database_than_the_migrated_one() -> None:
    found = problems("ledger", LEDGER | {"STORAGE_POSTGRES_CONN_STRING": "postgresql://u:p@db/other"})
    assert found == ["STORAGE_POSTGRES_CONN_STRING is not POSTGRES_URI's value"]


def test_a_migration_needs_its_database_and_no_more() -> None:
    only = {**POSTGRES, "STORAGE_POSTGRES_CONN_STRING": POSTGRES["POSTGRES_URI"]}
    assert problems("ledger", only, "migrate") == []
    assert problems("payments", POSTGRES, "migrate") == ["CONFIG_ENCRYPTION_KEY is not set"]


def test_a_worker_needs_no_address_to_listen_on() -> None:
    assert problems("ledger", {k: v for k, v in LEDGER.items() if k != "BIND"}, "worker") == []
    assert problems("wallets", {}, "worker") == ["wallets has no worker"]


def test_what_the_stack_has_is_needed_too() -> None:
    assert problems("ledger,auth", LEDGER) == ["AUTH_ENABLED is not set", "AUTH_ISSUER is not set"]
    assert "PUBLISHER_TOPIC_MAPPING is not set" in problems("ledger,broker", LEDGER)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind 'ledgers'"):
        problems("ledgers", {})


def test_a_module_without_a_database_is_healthy_and_tells_its_name() -> None:
    wallets = Ledger(None, versions.get("1.1.0"), "dev", "wallets")
    answers: dict[str, tuple[int, Any]] = {}

    async def ask(path: str) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "headers": []}
        await wallets(scope, receive, send)
        answers[path] = (sent[0]["status"], json.loads(sent[1]["body"]))

    for path in ("/_healthcheck", "/_info", "/transactions/1"):
        asyncio.run(ask(path))
    assert answers["/_healthcheck"][0] == 200
    assert answers["/_info"] == (200, {"name": "wallets", "version": "1.1.0", "schema_version": None, "stack": "dev"})
    assert answers["/transactions/1"][0] == 404
