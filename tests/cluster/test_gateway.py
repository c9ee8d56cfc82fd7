"""The gateway on a real cluster: Caddy before a module, upgrades of either without a lost request, and a rejected configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lightkube.resources.core_v1 import ConfigMap

from devkit.demo.clients import Clients
from devkit.tools import build
from tests.cluster.stacks import LEDGER, Stack

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

NEW = build.CADDY.version().removeprefix("v")
OLD = f"{NEW}-rc.1"
GATEWAY = {**LEDGER, "image": "localhost/rollout/gateway", "version": OLD, "database": False}
GATEWAY.pop("migration")
SETTINGS = {"plugins": [], "shutdownSeconds": 3}


def with_gateway(stack: Stack, **gateway: Any) -> None:
    stack.workspace.configure({"gateway": {**SETTINGS, **gateway}})
    stack.configure("gateway", **{**GATEWAY, **stack.modules.get("gateway", {})})


def configurations(stack: Stack) -> dict[str, str]:
    return {c.metadata.name: c.metadata.uid for c in stack.objects(ConfigMap)}


@contextmanager
def traffic(stack: Stack, rate: int = 60) -> Iterator[dict[str, Any]]:
    """Reads and writes through the gateway; the summary is there afterwards."""
    clients = Clients(stack.api, stack.name, "http://gateway:8080/api/ledger", "localhost/rollout/ledger:1.0.0", rate)
    summary: dict[str, Any] = {}
    clients.start()
    try:
        yield summary
    finally:
        summary |= clients.stop()


def test_it_leads_to_the_modules_and_tells_their_versions(stack: Stack) -> None:
    with_gateway(stack, region="eu", environment="test")
    stack.deployed("1.1.0")
    info = {"name": "ledger", "version": "1.1.0", "schema_version": 110, "stack": stack.name}
    assert stack.ask("/api/ledger/_info") == (200, info)
    assert stack.ask("/api/nothing/_info")[0] == 404
    assert stack.ask("/somewhere")[0] == 404
    versions = {"region": "eu", "env": "test", "versions": [{"name": "ledger", "version": "1.1.0", "health": True}]}
    assert stack.ask("/versions") == (200, versions)


@pytest.mark.long
@pytest.mark.measures  # a machine that has too much to do loses requests by itself
def test_upgrades_of_module_and_gateway_lose_no_request(stack: Stack) -> None:
    with_gateway(stack)
    stack.deployed("1.0.0")
    with traffic(stack) as summary:
        stack.deployed("1.1.0")
        stack.configure("gateway", version=NEW)
        stack.deployed("1.6.0")
        with_gateway(stack, cors=False)
        verdict = stack.deployed("1.6.0")
    assert {m["name"]: m["outcome"] for m in verdict["modules"]} == {"ledger": "unchanged", "gateway": "deployed"}
    assert summary["lost"] == 0, json.dumps(summary, indent=1)
    assert set(summary["versions"]) == {"1.0.0", "1.1.0", "1.6.0"}
    assert stack.serving("gateway") == NEW
    assert len(stack.deployments()) == 2, "of each one version with one configuration is left"
    assert [name.rpartition("-")[0] for name in sorted(configurations(stack))] == ["gateway", "ledger"], (
        "the last with the record"
    )


@pytest.mark.long
def test_a_configuration_that_caddy_rejects_halts_the_update_and_the_old_one_serves(stack: Stack) -> None:
    with_gateway(stack)
    stack.deployed("1.0.0")
    before = stack.pods(OLD, "gateway"), configurations(stack)
    with_gateway(stack, trustedProxies=["10.0.0.0/99"])
    code, verdict = stack.up()
    assert code == 4
    [gateway] = (m for m in verdict["modules"] if m["name"] == "gateway")
    assert gateway["outcome"] == "rollout_failed"
    assert "10.0.0.0/99" in gateway["detail"], "Caddy's own words"
    assert gateway["serving"] == {"version": OLD, "ready": 1, "desired": 1}
    pods, maps = before
    assert stack.pods(OLD, "gateway") == pods, "no pod was started with it"
    assert maps.items() <= configurations(stack).items()
    with_gateway(stack)
    stack.deployed("1.0.0")
    assert (stack.pods(OLD, "gateway"), configurations(stack)) == before, "going back is no change for it"
