"""A stack of ten modules, each in a mode in which it refuses to start with less than its kind needs, taken through versions."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lightkube import Client
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.networking_v1 import Ingress

from devkit.demo.clients import Clients
from tests.cluster.full_stack import CADDY, DATABASES, HOST, MODULES, ROUTED, WORKERS, FullStack, tag, versions
from tests.cluster.loaded import LoadedWorkspace
from tests.cluster.stacks import wait_for

# Thirty pods at once: nothing runs beside it. The tests are one story, told in order on one stack.
pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]

ALL = (*MODULES, "gateway")
_run = itertools.count(1)


@pytest.fixture(scope="module")
def whole(api: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullStack]:
    folder: Path = tmp_path_factory.mktemp("stack")
    stack = FullStack.make(LoadedWorkspace.create(folder, f"t{os.getpid() % 10_000}-stack", {}), api)
    yield stack
    stack.remove()


@contextmanager
def traffic(stack: FullStack, rate: int = 20) -> Iterator[dict[str, Any]]:
    """Requests to every module through the gateway, half of them reads and writes of the ledger."""
    base = "http://gateway:8080/api"
    also = [f"{base}/{name}/_info" for name in ROUTED if name != "ledger"]
    clients = Clients(
        stack.api, stack.name, f"{base}/ledger", "localhost/rollout/module:4.0.0", rate, also, 20, f"run{next(_run)}"
    )
    summary: dict[str, Any] = {}
    clients.start()
    try:
        yield summary
    finally:
        summary |= clients.stop()
        wait_for("the clients' end", lambda: not stack.running_clients())


def outcomes(verdict: dict[str, Any]) -> dict[str, str]:
    return {m["name"]: m["outcome"] for m in verdict["modules"]}


def test_ten_modules_come_up_with_all_that_their_kinds_need(whole: FullStack) -> None:
    code, verdict = whole.rollout(versions("4.0.0"))
    assert code == 0, json.dumps(verdict, indent=1)
    assert outcomes(verdict) == dict.fromkeys(ALL, "deployed")
    assert whole.databases() == {f"{whole.name}-{name}" for name in DATABASES}
    assert {name: whole.deployments()[name] for name in WORKERS} == dict.fromkeys(WORKERS, 1)
    [ingress] = whole.objects(Ingress)
    assert ingress.spec.rules[0].host == HOST


def test_the_gateway_leads_to_every_module(whole: FullStack) -> None:
    answers = {name: whole.ask(f"/api/{name}/_info") for name in ROUTED}
    assert {name: (status, body["name"]) for name, (status, body) in answers.items()} == {n: (200, n) for n in ROUTED}
    status, body = whole.ask("/versions")
    assert status == 200
    expected = [{"name": name, "version": "1.0.0", "health": True} for name in sorted(ROUTED)]
    assert body["versions"] == expected


def test_the_same_again_changes_nothing(whole: FullStack) -> None:
    code, verdict = whole.rollout(versions("4.0.0"))
    assert (code, verdict["outcome"]) == (0, "unchanged")


def test_one_change_of_the_versions_file_upgrades_all_without_a_lost_request(whole: FullStack) -> None:
    with traffic(whole) as summary:
        code, verdict = whole.rollout(versions("4.1.0", CADDY[1]))
    assert code == 0, json.dumps(verdict, indent=1)
    assert outcomes(verdict) == dict.fromkeys(ALL, "deployed")
    assert whole.versions_served() == versions("4.1.0", CADDY[1])
    assert summary["lost"] == 0, json.dumps(summary, indent=1)
    assert set(summary["versions"]) == {"1.0.0", "1.1.0"}
    assert {frozenset(seen) for seen in summary["also"].values()} == {frozenset({"1.0.0", "1.1.0"})}
    assert len(summary["also"]) == len(ROUTED) - 1
    images = {d.metadata.name: d.spec.template.spec.containers[0].image for d in whole.objects(Deployment)}
    assert {name: images[name].rpartition(":")[2] for name in WORKERS} == {
        name: tag(name.removesuffix("-worker"), "4.1.0") for name in WORKERS
    }


def test_one_failing_module_leaves_nine_upgraded_and_itself_serving(whole: FullStack) -> None:
    before = whole.pods("4.1.0", "payments"), whole.worker_pods("payments-worker"), whole.schema("payments")
    with traffic(whole) as summary:
        code, verdict = whole.rollout(versions("4.6.0", CADDY[2], payments="4.2.0"), "--continue-on-error")
    assert code == 3
    expected = {**dict.fromkeys(ALL, "deployed"), "payments": "migration_failed"}
    assert outcomes(verdict) == expected, json.dumps(verdict, indent=1)
    assert whole.versions_served() == versions("4.6.0", CADDY[2], payments="4.1.0")
    assert (whole.pods("4.1.0", "payments"), whole.worker_pods("payments-worker"), whole.schema("payments")) == before
    assert summary["lost"] == 0, json.dumps(summary, indent=1)
    code, verdict = whole.rollout(versions("4.6.0", CADDY[2]))
    assert code == 0, json.dumps(verdict, indent=1)
    assert whole.versions_served() == versions("4.6.0", CADDY[2])


def test_what_is_published_waits_in_the_stacks_stream_for_those_that_listen(whole: FullStack) -> None:
    topics = [f"{whole.name}.{name}" for name in ("ledger", "orchestration", "payments", "transactionplane")]
    consumers = {
        "orchestration": [t for t in topics if not t.endswith(".orchestration")],
        "transactionplane": topics,
        "webhooks": topics,
    }
    assert whole.consumers() == consumers


def test_a_credential_that_changed_reaches_the_modules_that_use_it_and_no_other(whole: FullStack) -> None:
    def pods() -> dict[str, set[str]]:
        apis = {name: set(whole.pods(tag(name, "4.6.0"), name)) for name in MODULES}
        return apis | {name: whole.worker_pods(name) for name in WORKERS}

    before, jobs = pods(), whole.job_uids()
    whole.change_secret("credentials", "encryption", "another encryption key")
    whole.change_secret("auth-client-wallets", "secret", "another secret of wallets")
    with traffic(whole) as summary:
        code, verdict = whole.rollout(versions("4.6.0", CADDY[2]))
    assert code == 0, json.dumps(verdict, indent=1)
    # One Secret holds what four modules refer to, and a client's secret is the module's and auth's.
    users = {"auth", "payments", "payments-worker", "stargate", "wallets"}
    wait_for("the old pods to go", lambda: all(not now & before[n] for n, now in pods().items() if n in users))
    assert {name for name, now in pods().items() if now != before[name]} == users
    assert {n for n, o in outcomes(verdict).items() if o == "deployed"} == users - {"payments-worker"}
    assert whole.job_uids() == jobs, "no migration ran"
    assert summary["lost"] == 0, json.dumps(summary, indent=1)


def test_a_lost_broker_stops_the_upgrade_of_a_module_that_needs_it_and_nothing_that_serves(whole: FullStack) -> None:
    before = whole.versions_served()
    wanted = versions("4.6.0", CADDY[2], webhooks="4.7.0")
    with traffic(whole) as summary:
        whole.scale_broker(0)
        code, verdict = whole.rollout(wanted)
        assert (code, outcomes(verdict)["webhooks"]) == (4, "rollout_failed"), json.dumps(verdict, indent=1)
        assert {o for n, o in outcomes(verdict).items() if n != "webhooks"} == {"unchanged"}
        [webhooks] = (m for m in verdict["modules"] if m["name"] == "webhooks")
        assert any("broker at nats:4222 does not answer" in line for pod in webhooks["pods"] for line in pod["logs"])
        assert whole.versions_served() == before
        whole.scale_broker(1)
        code, verdict = whole.rollout(wanted)
    assert code == 0, json.dumps(verdict, indent=1)
    assert whole.serving("webhooks") == "4.7.0"
    assert summary["lost"] == 0, json.dumps(summary, indent=1)
