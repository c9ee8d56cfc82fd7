"""One version of a module running beside the one before it, and the Service that moves from the old to the new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from settings import ModuleSettings, Version

from .names import MODULE, NAME, NO_DATABASE, pod_labels
from .objects import Deployment, PodDisruptionBudget, Service, ServiceAccount
from .pod import container_security, pod_security
from .scope import Scope

# The await of a Deployment must outlast its progress deadline, so that the cluster's own verdict is what is reported; and
# it bounds the deletion too, which takes the drain and the grace period.
AWAIT_SLACK_SECONDS = 30


@dataclass(frozen=True)
class Mount:
    """A volume of a pod and where its container has it."""

    name: str
    path: str
    source: Mapping[str, Any]
    read_only: bool = True

    @property
    def volume(self) -> dict[str, Any]:
        return {"name": self.name, **self.source}

    @property
    def mount(self) -> dict[str, Any]:
        return {"name": self.name, "mountPath": self.path, **({"readOnly": True} if self.read_only else {})}


class Release(pulumi.ComponentResource):
    """The versioned Deployment with its PodDisruptionBudget, behind the module's one Service.

    The version is in the Deployment's logical name: a new version is a new resource, made first; the old one is deleted at
    the end of an update in which everything has succeeded. So it is with a new revision, the hash of a configuration that is
    versioned like a version.
    """

    def __init__(
        self,
        module: str,
        version: Version,
        settings: ModuleSettings,
        env: Sequence[dict[str, Any]],
        service_account: ServiceAccount,
        gate: Sequence[pulumi.Resource],
        scope: Scope,
        *,
        revision: str = "",
        mounts: Sequence[Mount] = (),
        ports: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__("rollout:index:Release", module, None, scope.component())
        labels = pod_labels(module, version, revision)
        suffix = f"-{revision}" if revision else ""
        name = f"{module}-{version.slug}{suffix}"
        await_seconds = (
            max(settings.progress_deadline_seconds, settings.termination_grace_period_seconds) + AWAIT_SLACK_SECONDS
        )
        annotations = {"pulumi.com/timeoutSeconds": str(await_seconds)}
        if not settings.database:
            # Said aloud, so that the policy pack can tell a module without a migration from a forgotten one.
            annotations[NO_DATABASE] = "true"
        self.deployment = Deployment(
            f"{module}-{version}{suffix}",
            metadata=scope.metadata(name, labels, annotations),
            spec={
                "replicas": settings.replicas,
                "selector": {"matchLabels": labels},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "progressDeadlineSeconds": settings.progress_deadline_seconds,
                "revisionHistoryLimit": 2,
                "template": {
                    "metadata": {"labels": {**scope.owner.labels, **labels}},
                    "spec": _pod(module, version, settings, env, mounts, ports or {}),
                },
            },
            opts=scope.serving(self, depends_on=[service_account, *gate]),
        )
        self.budget = PodDisruptionBudget(
            f"{module}-{version}{suffix}",
            metadata=scope.metadata(name, labels),
            spec={"maxUnavailable": 1, "selector": {"matchLabels": labels}},
            opts=scope.serving(self, depends_on=[*gate]),
        )
        self.service = Service(
            module,
            # The Deployment was waited for; the provider's own wait for endpoints would cost 10 s and show nothing new.
            metadata=scope.metadata(module, {NAME: module, MODULE: module}, {"pulumi.com/skipAwait": "true"}),
            spec={
                "selector": labels,
                "ports": [{"name": "http", "port": 8080, "targetPort": "http", "protocol": "TCP"}],
            },
            opts=scope.resource(self, depends_on=[self.deployment, self.budget]),
        )
        self.register_outputs({"version": str(version)})


def _pod(
    module: str,
    version: Version,
    settings: ModuleSettings,
    env: Sequence[dict[str, Any]],
    mounts: Sequence[Mount],
    ports: Mapping[str, int],
) -> dict[str, Any]:
    probe = settings.probe
    http = {
        "httpGet": {"path": probe.path, "port": "http"},
        "periodSeconds": probe.period_seconds,
        "timeoutSeconds": probe.timeout_seconds,
    }
    container: dict[str, Any] = {
        "name": module,
        "image": version.image(settings.image),
        "imagePullPolicy": "IfNotPresent",
        "args": list(settings.args),
        "env": list(env),
        "ports": [
            {"name": each, "containerPort": port, "protocol": "TCP"}
            for each, port in {"http": settings.port, **ports}.items()
        ],
        "readinessProbe": {**http, "failureThreshold": probe.readiness_failures},
        "livenessProbe": {**http, "failureThreshold": probe.liveness_failures},
        "resources": settings.resources.model_dump(),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if settings.drain_seconds:
        # Kubernetes' own sleep: an image need not have a shell. The pod has left the Service by then, but not every
        # kube-proxy knows it yet.
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": settings.drain_seconds}}}
    pod: dict[str, Any] = {
        "serviceAccountName": module,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.termination_grace_period_seconds,
        "securityContext": pod_security(settings.run_as_user),
        "containers": [container],
    }
    if mounts:
        container["volumeMounts"] = [mount.mount for mount in mounts]
        pod["volumes"] = [mount.volume for mount in mounts]
    return pod
