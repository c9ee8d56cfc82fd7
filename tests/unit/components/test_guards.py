"""The guards' rules, called as the engine calls them."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pulumi
import pytest

from components.cluster import RunningJob
from components.errors import ForeignObject, MigrationRunning, StillServing, StillUsed
from components.guards import Rules, aside
from tests.unit.components.declared import OWNER, FakeCluster

V1 = {"app.kubernetes.io/name": "ledger", "app.kubernetes.io/version": "1.0.0"}
V2 = V1 | {"app.kubernetes.io/version": "1.1.0"}


def args(**inputs: Any) -> pulumi.ResourceHookArgs:
    return pulumi.ResourceHookArgs("urn", "id", "name", "type", new_inputs=inputs, old_inputs=inputs)


def job(name: str = "ledger-1-1-0-migrate-x") -> pulumi.ResourceHookArgs:
    labels = {"rollout.formance.com/module": "ledger", "rollout.formance.com/job": "migrate"}
    return args(
        kind="Job", metadata={"name": name, "namespace": "dev", "labels": labels}, spec={"activeDeadlineSeconds": 30}
    )


def deployment(labels: dict[str, str]) -> pulumi.ResourceHookArgs:
    return args(
        kind="Deployment",
        metadata={"name": "ledger-1-0-0", "namespace": "dev", "labels": labels},
        spec={"selector": {"matchLabels": labels}},
    )


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def test_a_deployment_its_service_selects_is_not_deleted() -> None:
    with pytest.raises(StillServing, match=r"ledger-1-0-0 still serves.*1\.0\.0"):
        Rules(FakeCluster(services={"ledger": V1}), OWNER).keep_serving(deployment(V1))


@pytest.mark.parametrize(
    "services", [{"ledger": V2}, {}, {"ledger": {}}], ids=["switched", "no Service", "no selector"]
)
def test_a_deployment_nothing_selects_may_go(services: dict[str, dict[str, str]]) -> None:
    Rules(FakeCluster(services=services), OWNER).keep_serving(deployment(V1))


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "PodDisruptionBudget"])
def test_what_belongs_to_a_version_goes_where_the_version_is_declared_without_it(kind: str) -> None:
    metadata = {"name": "ledger-1-0-0", "namespace": "dev", "labels": V1}
    serves = FakeCluster(services={"ledger": V1})
    Rules(serves, OWNER, declared={"ledger-1-0-0"}).keep_serving(args(kind=kind, metadata=metadata))
    for declared in ({"ledger-1-1-0"}, set[str]()):
        with pytest.raises(StillServing, match=f"{kind} ledger-1-0-0 still serves"):
            Rules(serves, OWNER, declared=declared).keep_serving(args(kind=kind, metadata=metadata))


def test_a_deployment_that_serves_stays_also_where_it_is_declared() -> None:
    with pytest.raises(StillServing):
        Rules(FakeCluster(services={"ledger": V1}), OWNER, declared={"ledger-1-0-0"}).keep_serving(deployment(V1))


def test_a_secret_that_a_deployment_uses_is_not_deleted() -> None:
    rules = Rules(FakeCluster(secrets={"ledger-postgres-1": ["ledger-1-0-0"]}), OWNER)
    with pytest.raises(StillUsed, match="ledger-1-0-0"):
        rules.keep_used(args(kind="Secret", metadata={"name": "ledger-postgres-1"}))
    rules.keep_used(args(kind="Secret", metadata={"name": "ledger-postgres-2"}))


def test_an_object_of_this_stack_is_taken_over() -> None:
    Rules(FakeCluster(owners={("Job", "ledger-1-1-0-migrate-x"): OWNER.label}), OWNER).ours_or_new(job())


@pytest.mark.parametrize("owner", [None, "rollout.prod.12345678"])
def test_an_object_of_anyone_else_is_not(owner: str | None) -> None:
    with pytest.raises(ForeignObject, match="Job ledger-1-1-0-migrate-x in namespace dev exists"):
        Rules(FakeCluster(owners={("Job", "ledger-1-1-0-migrate-x"): owner}), OWNER).ours_or_new(job())


def test_a_running_migration_is_waited_for_within_its_deadline() -> None:
    clock = Clock()
    cluster = FakeCluster(jobs={"ledger-1-1-0-migrate-x": RunningJob("ledger-1-1-0-migrate-x", 30)})
    with pytest.raises(MigrationRunning, match="is not deleted"):
        Rules(cluster, OWNER, clock.now, clock.sleep).let_finish(job())
    assert 90 <= clock.time <= 91


def test_another_versions_migration_is_waited_for_and_ones_own_is_not() -> None:
    clock = Clock()
    own, other = RunningJob("ledger-1-1-0-migrate-x", 30), RunningJob("ledger-1-0-0-migrate-y", 10)
    Rules(FakeCluster(jobs={own.name: own}), OWNER, clock.now, clock.sleep).one_migration_at_a_time(job())
    assert clock.time == 0
    with pytest.raises(MigrationRunning, match="ledger-1-0-0-migrate-y"):
        Rules(
            FakeCluster(jobs={own.name: own, other.name: other}), OWNER, clock.now, clock.sleep
        ).one_migration_at_a_time(job())


def test_a_guard_runs_while_every_thread_of_the_program_waits_for_a_registration() -> None:
    registered = threading.Event()

    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as programs, ThreadPoolExecutor(1) as guards:
            loop.set_default_executor(programs)
            waiting = loop.run_in_executor(None, registered.wait)
            try:
                allowed = aside(lambda _: None, guards)(args())
                found: list[object] = await asyncio.gather(
                    allowed, aside(_refuse, guards)(args()), return_exceptions=True
                )
                return found
            finally:
                registered.set()
                await waiting

    allowed, refused = asyncio.run(asyncio.wait_for(main(), 20))
    assert allowed is None
    assert str(refused) == "no"


def _refuse(_: pulumi.ResourceHookArgs) -> None:
    raise ValueError("no")
