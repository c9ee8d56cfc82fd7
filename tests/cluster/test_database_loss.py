"""The database server ends while a stack serves, and while one is upgraded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from devkit.demo.clients import Clients
from devkit.sample import ranges, verify
from tests.cluster.private_postgres import PrivatePostgres
from tests.cluster.stacks import WITNESSED, Stack, wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.stacks,
    pytest.mark.skipif(
        "KUBE_CONTEXT" in os.environ, reason="pods of another cluster do not reach a server on this machine"
    ),
]


@pytest.fixture
def server() -> Iterator[PrivatePostgres]:
    with PrivatePostgres() as server:
        yield server


@pytest.mark.long
def test_a_lost_server_stops_the_upgrade_and_costs_no_accepted_write(stack: Stack, server: PrivatePostgres) -> None:
    stack.workspace.pulumi(
        "config", "set", "--secret", "--path", "rollout:postgres.uri", server.uri(), "--stack", stack.name
    )
    stack.configure(**WITNESSED)
    stack.deployed("1.1.0")
    pods = stack.pods("1.1.0")
    clients = Clients(stack.api, stack.name, "http://ledger:8080", "localhost/rollout/ledger:1.1.0", 20, timeout=20)
    clients.start()
    server.stop()
    code, verdict = stack.up("1.6.0")
    assert code == 3, json.dumps(verdict, indent=1)
    assert stack.serving() == "1.1.0"
    server.start()
    wait_for("the ledger", lambda: stack.ask("/_healthcheck", "ledger")[0] == 200)
    # The probe asks the database too, so a loss that lasts restarts containers; no pod is replaced by another.
    assert stack.pods("1.1.0").keys() == pods.keys()
    stack.deployed("1.6.0")
    summary = clients.stop()
    accepted, uncertain = ranges.load(summary["accepted"]["numbers"]), ranges.load(summary["uncertain"])
    found = verify.check(server.uri(f"{stack.name}-ledger"), summary["run"], accepted, uncertain)
    assert found.ok, found
    assert set(summary["versions"]) == {"1.1.0", "1.6.0"}
