"""A stack declared against Pulumi's mocks: what is declared, and what waits for what, without an engine or a cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_pulumi_func

import settings
from components.backing_up import Backups
from components.cluster import LiveCluster, RunningJob, Size, WorkerState
from components.names import Owner
from components.rehearsal_cluster import LiveRehearsals
from components.rehearsing import Rehearsals
from components.stack import Stack

OWNER = Owner("organization", "rollout", "dev")
POSTGRES = {"uri": "postgresql://admin:p%40ss@10.0.0.1:5432?sslmode=require"}


@dataclass
class FakeCluster:
    """The cluster as a few values."""

    services: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, RunningJob] = field(default_factory=dict)
    secrets: dict[str, list[str]] = field(default_factory=dict)
    owners: dict[tuple[str, str], str | None] = field(default_factory=dict)
    contained: dict[str, str] = field(default_factory=dict)
    jobs_done: dict[str, frozenset[str]] = field(default_factory=dict)
    migrations: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)
    workers: dict[str, WorkerState] = field(default_factory=dict)
    others: list[tuple[str, str, str]] = field(default_factory=list)

    def serving(self) -> dict[str, str]:
        return self.versions

    def selected(self, service: str) -> dict[str, str]:
        return self.services.get(service, {})

    def running_jobs(self, module: str, kind: str) -> list[RunningJob]:
        return list(self.jobs.values())

    def is_active(self, job: str) -> bool:
        return job in self.jobs

    def users(self, kind: str, name: str) -> list[str]:
        return self.secrets.get(name, [])

    def owner(self, kind: str, name: str, namespace: str | None) -> tuple[bool, str | None]:
        return ((kind, name) in self.owners, self.owners.get((kind, name)))

    def contents(self, secrets: Sequence[str]) -> dict[str, str]:
        return {name: self.contained[name] for name in secrets if name in self.contained}

    def migrated(self, module: str) -> frozenset[str]:
        return self.jobs_done.get(module, frozenset())

    def elsewhere(self) -> list[tuple[str, str, str]]:
        return self.others

    def records(self) -> dict[str, str]:
        return self.migrations

    def size(self, labels: Mapping[str, str]) -> Size | None:
        return self.sizes.get(labels.get("app.kubernetes.io/version", ""))

    def worker(self, deployment: str) -> WorkerState | None:
        return self.workers.get(deployment)

    def scale(self, deployment: str, replicas: int) -> None:
        version, size = next((v, s) for v, s in self.sizes.items() if s.name == deployment)
        self.sizes[version] = replace(size, replicas=replicas, ready=replicas)


@dataclass(frozen=True)
class Declared:
    """One declared resource."""

    type: str
    name: str
    inputs: dict[str, Any]
    depends_on: set[str]  # "type::name" of what it waits for, components resolved to their resources
    parent: str
    hooks: dict[str, list[str]]
    retained: bool = False
    component: bool = False
    ignored: frozenset[str] = frozenset()


class _Echo(pulumi.runtime.Mocks):
    """Nothing is looked up; resources are echoed by the monitor."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[Any, Any]]:
        raise AssertionError("the monitor answers")

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], None]:
        return {}, None


class Recorder(mocks.MockMonitor):
    """Pulumi's mock monitor with the requests kept: plain mocks show neither dependencies nor hooks."""

    def __init__(self) -> None:
        super().__init__(_Echo())
        self.requests: list[Any] = []

    def RegisterResource(self, request: Any) -> Any:
        self.requests.append(request)
        # Echoed here rather than by the mocks: those open an event loop per thread and never close it.
        urn = self.make_urn(request.parent, request.type, request.name)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=f"{request.name}-id", object=request.object)


def short(urn: str) -> str:
    type_, name = urn.split("::")[2:]
    return f"{type_.rsplit('$', 1)[-1]}::{name}"


def declare(modules: dict[str, Any], cluster: FakeCluster | None = None, **more: Any) -> dict[str, Declared]:
    """Declares a stack from module settings and returns its resources by "Kind/name"."""
    values = {"rollout:modules": modules, "rollout:postgres": POSTGRES} | {f"rollout:{k}": v for k, v in more.items()}
    wanted = settings.load(
        {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items() if v is not None},
        stack="dev",
        root=Path(),
        secret_keys=["rollout:postgres", "rollout:modules", "rollout:temporal"],
    )
    monitor = Recorder()
    live = LiveRehearsals(LiveCluster("dev", None, OWNER))
    before = Rehearsals(live, "dev", OWNER), Backups(live, "dev", OWNER)

    async def main() -> None:
        mocks.set_mocks(
            monitor.mocks, project="rollout", stack="dev", preview=False, monitor=monitor, organization="organization"
        )
        await run_pulumi_func(lambda: (Stack(wanted, cluster or FakeCluster(), OWNER, *before), None)[1])

    asyncio.run(main())
    return {f"{r.type.rsplit(':', 1)[-1]}/{r.name}": _declared(r) for r in monitor.requests}


def _declared(request: Any) -> Declared:
    return Declared(
        request.type,
        request.name,
        dict(rpc.deserialize_properties(request.object)),
        {short(d) for d in request.dependencies},
        short(request.parent) if request.parent else "",
        {kind: list(getattr(request.hooks, kind)) for kind in ("before_create", "before_update", "before_delete")},
        request.retainOnDelete,
        not request.custom,
        frozenset(request.ignoreChanges),
    )


def ledger(**more: Any) -> dict[str, Any]:
    return {"image": "example.org/ledger", "version": "1.1.0", **more}
