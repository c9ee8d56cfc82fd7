"""One version of a module running beside the one before it, and the Service that moves from the old to the new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from settings import ModuleSettings, Version

from .names import MODULE, NAME, NO_DATABASE, WORKER, pod_labels
from .scope import Scope
from .workload import Container, await_seconds, template


class Release(pulumi.ComponentResource):
    """The versioned Deployment with its PodDisruptionBudget and autoscaler, behind the module's one Service.

    The version is in the Deployment's logical name: a new version is a new resource, made first; the old one is deleted at
    the end of an update in which everything has succeeded. So it is with a new revision, the hash of a configuration that is
    versioned like a version.

    Args:
        module: name.
        version: of it.
        settings: of it.
        container: of its pods.
        service_account: of the module.
        gate: what must have succeeded first.
        scope: where to declare it.
        revision: of a configuration that is versioned too.
        annotations: of the Deployment.
        worker: digits of the pods of the module's worker, which must be up before it; empty without one.
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
        revision: str = "",
        annotations: Mapping[str, str] | None = None,
        worker: str = "",
    ) -> None:
        super().__init__("rollout:index:Release", module, None, scope.component())
        labels = pod_labels(module, version, revision)
        suffix = f"-{revision}" if revision else ""
        name, logical = f"{module}-{version.slug}{suffix}", f"{module}-{version}{suffix}"
        own = {"pulumi.com/timeoutSeconds": str(await_seconds(settings)), **(annotations or {})}
        if not settings.database:
            # Said aloud, so that the policy pack can tell a module without a migration from a forgotten one.
            own[NO_DATABASE] = "true"
        if worker:
            # Of the Deployment and not of its pods: when the worker alone changes it is updated, and the guard looks at the
            # worker, but no pod of the API is replaced.
            own[WORKER] = worker
        spec: dict[str, Any] = {
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "progressDeadlineSeconds": settings.progress_deadline_seconds,
            "revisionHistoryLimit": 2,
            "template": template(module, settings, container, labels, scope),
        }
        if settings.autoscaling is None:
            spec["replicas"] = container.role.replicas
        scope.guards.declared.add(name)
        self.deployment = k8s.apps.v1.Deployment(
            logical,
            metadata=scope.metadata(name, labels, own),
            spec=spec,
            opts=(scope.after_worker if worker else scope.serving)(self, depends_on=[service_account, *gate]),
        )
        budget = settings.disruption_budget
        allowed = (
            {"minAvailable": budget.min_available}
            if budget.min_available is not None
            else {"maxUnavailable": 1 if budget.max_unavailable is None else budget.max_unavailable}
        )
        behind: list[pulumi.Resource] = [
            k8s.policy.v1.PodDisruptionBudget(
                logical,
                metadata=scope.metadata(name, labels),
                spec={**allowed, "selector": {"matchLabels": labels}},
                opts=scope.serving(self, depends_on=[*gate]),
            )
        ]
        if settings.autoscaling:
            behind.append(self._autoscaler(logical, name, labels, settings, scope))
        unawaited = {"pulumi.com/skipAwait": "true", **settings.service.annotations}
        service: dict[str, Any] = {
            "selector": labels,
            "ports": [{"name": "http", "port": 8080, "targetPort": "http", "protocol": "TCP"}],
        }
        if settings.service.traffic_distribution:
            service["trafficDistribution"] = settings.service.traffic_distribution
        self.service = k8s.core.v1.Service(
            module,
            # The Deployment was waited for; the provider's own wait for endpoints would cost 10 s and show nothing new.
            metadata=scope.metadata(module, {NAME: module, MODULE: module}, unawaited),
            spec=service,
            opts=scope.switching(self, settings.autoscaling is not None, depends_on=[self.deployment, *behind]),
        )
        self.register_outputs({"version": str(version)})

    def _autoscaler(
        self, logical: str, name: str, labels: dict[str, str], settings: ModuleSettings, scope: Scope
    ) -> k8s.autoscaling.v2.HorizontalPodAutoscaler:
        wanted = settings.autoscaling
        assert wanted
        targets = {"cpu": wanted.cpu_percent, "memory": wanted.memory_percent}
        return k8s.autoscaling.v2.HorizontalPodAutoscaler(
            logical,
            metadata=scope.metadata(name, labels),
            spec={
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": wanted.min_replicas,
                "maxReplicas": wanted.max_replicas,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": each, "target": {"type": "Utilization", "averageUtilization": percent}},
                    }
                    for each, percent in targets.items()
                    if percent is not None
                ],
            },
            opts=scope.serving(self, depends_on=[self.deployment]),
        )
