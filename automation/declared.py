"""A stack's resources as its program declares them, without an engine, a backend or a cluster.

The program runs against Pulumi's own mock monitor, which is kept from forgetting what waits for what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_pulumi_func

from components.backing_up import Backups
from components.cluster import LiveCluster, RunningJob, Size, WorkerState
from components.names import Owner
from components.rehearsal_cluster import LiveRehearsals
from components.rehearsing import Rehearsals
from components.stack import Stack
from policies.values import Program, Resource
from settings import StackSettings


class _NoCluster:
    """A cluster in which nothing is: what serves is for the preview to find out."""

    def serving(self) -> dict[str, str]:
        return {}

    def selected(self, service: str) -> dict[str, str]:  # noqa: ARG002
        return {}

    def running_jobs(self, module: str, kind: str) -> list[RunningJob]:  # noqa: ARG002
        return []

    def is_active(self, job: str) -> bool:  # noqa: ARG002
        return False

    def users(self, kind: str, name: str) -> list[str]:  # noqa: ARG002
        return []

    def owner(self, kind: str, name: str, namespace: str | None) -> tuple[bool, str | None]:  # noqa: ARG002
        return False, None

    def contents(self, secrets: Sequence[str]) -> dict[str, str]:  # noqa: ARG002
        return {}

    def migrated(self, module: str) -> frozenset[str]:  # noqa: ARG002
        return frozenset()

    def records(self) -> dict[str, str]:
        return {}

    def elsewhere(self) -> list[tuple[str, str, str]]:
        return []

    def size(self, labels: Mapping[str, str]) -> Size | None:  # noqa: ARG002
        return None

    def worker(self, deployment: str) -> WorkerState | None:  # noqa: ARG002
        return None

    def scale(self, deployment: str, replicas: int) -> None:
        raise NotImplementedError(f"{deployment}: {replicas}")


class _Nothing(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[Any, Any]]:
        raise NotImplementedError(args.name)  # the monitor answers

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], None]:  # noqa: ARG002
        return {}, None


class _Monitor(mocks.MockMonitor):
    """Answers every registration with its own inputs."""

    def __init__(self) -> None:
        super().__init__(_Nothing())
        self.requests: list[tuple[str, Any]] = []

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        self.requests.append((urn, request))
        return resource_pb2.RegisterResourceResponse(urn=urn, id=request.name, object=request.object)


def declared(settings: StackSettings) -> Program:
    """The resources that the program declares for these settings."""
    monitor, owner = _Monitor(), Owner("organization", "rollout", settings.stack)

    async def main() -> None:
        mocks.set_mocks(monitor.mocks, project=owner.project, stack=owner.stack, preview=True, monitor=monitor)
        live = LiveRehearsals(LiveCluster(settings.namespace_name, None, owner))
        before = Rehearsals(live, "", owner), Backups(live, "", owner)
        await run_pulumi_func(lambda: (Stack(settings, _NoCluster(), owner, *before), None)[1])

    asyncio.run(main())
    return Program(tuple(_resource(urn, r) for urn, r in monitor.requests))


def _resource(urn: str, r: Any) -> Resource:
    return Resource(
        r.type,
        r.name,
        urn,
        rpc.deserialize_properties(r.object),
        parent=r.parent,
        component=not r.custom,
        dependencies=tuple(r.dependencies),
        property_dependencies={k: tuple(v.urns) for k, v in r.propertyDependencies.items()},
        protect=r.protect,
        deleted_first=r.deleteBeforeReplace,
    )
