"""A module's worker: it must not run in two versions at once, so it is stopped before its next version starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from settings import ModuleSettings, Version
from settings.module import WorkerSettings

from .names import MODULE, NAME, SINGLETON, VERSION, WORKER, digest
from .scope import Scope
from .workload import Container, await_seconds, template

# Without a health check a pod is ready as soon as it runs, also one that is about to end with an error.
UNPROBED_SECONDS = 5


class Worker(pulumi.ComponentResource):
    """One unversioned Deployment behind the module's gate, and a Service where it has ports that others use.

    Args:
        module: it belongs to.
        version: of it.
        settings: of the module.
        container: of its pods.
        service_account: of the module.
        gate: what must have succeeded first.
        scope: where to declare it.
        annotations: of the Deployment.

    Attributes:
        pods: digits that change with its pods.
    """

    def __init__(
        self,
        module: str,
        version: Version,
        settings: ModuleSettings,
        container: Container,
        service_account: k8s.core.v1.ServiceAccount,
        gate: Sequence[pulumi.Resource],
        scope: Scope,
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("rollout:index:Worker", module, None, scope.component())
        name = container.name
        labels = {NAME: name}
        said = {
            "pulumi.com/timeoutSeconds": str(await_seconds(settings)),
            # Where the pods of the version before were put back, these fields are not Pulumi's alone any more.
            "pulumi.com/patchForce": "true",
            SINGLETON: "true",
            **(annotations or {}),
        }
        pods = template(module, settings, container, {**labels, VERSION: version.label}, scope)
        self.pods = digest(pods)
        pods["metadata"]["annotations"] = {**pods["metadata"].get("annotations", {}), WORKER: self.pods}
        self.deployment = k8s.apps.v1.Deployment(
            name,
            metadata=scope.metadata(name, {**labels, MODULE: module, VERSION: version.label}, said),
            spec={
                "replicas": container.role.replicas,
                **({} if container.role.probed else {"minReadySeconds": UNPROBED_SECONDS}),
                "selector": {"matchLabels": labels},
                "strategy": {"type": "Recreate"},
                "progressDeadlineSeconds": settings.progress_deadline_seconds,
                "revisionHistoryLimit": 2,
                "template": pods,
            },
            opts=scope.resource(self, depends_on=[service_account, *gate]),
        )
        others = [p for p in container.role.ports if p.name != "http"]
        if others:
            own: WorkerSettings = getattr(settings, "worker", WorkerSettings())
            spec: dict[str, Any] = {
                "selector": labels,
                "ports": [{"name": p.name, "port": p.number, "targetPort": p.name, "protocol": "TCP"} for p in others],
            }
            if own.service.traffic_distribution:
                spec["trafficDistribution"] = own.service.traffic_distribution
            unawaited = {"pulumi.com/skipAwait": "true", **own.service.annotations}
            k8s.core.v1.Service(
                name,
                metadata=scope.metadata(name, {**labels, MODULE: module}, unawaited),
                spec=spec,
                opts=scope.resource(self, depends_on=[self.deployment]),
            )
        self.register_outputs({})
