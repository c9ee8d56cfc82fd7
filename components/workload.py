"""The pods of a module's workloads: what its kind asks for, under the settings that all modules have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from settings import ModuleSettings, Role

from .names import CREDENTIALS, MODULE, digest
from .pod import container_security, pod_security, tolerated
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


@dataclass(frozen=True)
class Container:
    """One workload's container.

    Args:
        name: of it.
        image: with its tag.
        role: what the module's kind asks for.
        env: of it, as Kubernetes has it.
        mounts: of it.
        references: the Secrets it refers to that the stack does not make.
    """

    name: str
    image: str
    role: Role
    env: Sequence[Mapping[str, Any]]
    mounts: Sequence[Mount] = ()
    references: Iterable[str] = ()


def await_seconds(settings: ModuleSettings) -> int:
    """How long Pulumi waits for a Deployment."""
    longest = max(settings.progress_deadline_seconds, settings.termination_grace_period_seconds)
    return longest + AWAIT_SLACK_SECONDS


def template(
    module: str, settings: ModuleSettings, container: Container, labels: Mapping[str, str], scope: Scope
) -> dict[str, Any]:
    """A Deployment's pod template."""
    metadata: dict[str, Any] = {"labels": {**scope.owner.labels, MODULE: module, **labels}}
    annotations = dict(settings.annotations)
    contents = {name: scope.contents[name] for name in container.references if name in scope.contents}
    if contents:
        # A Secret that others change is not in the pod's variables: these digits are, so that the pods roll with it.
        annotations[CREDENTIALS] = digest(contents)
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": _pod(module, settings, container, labels)}


def _pod(module: str, settings: ModuleSettings, container: Container, labels: Mapping[str, str]) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "serviceAccountName": module,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.termination_grace_period_seconds,
        "securityContext": pod_security(settings.run_as_user, settings.run_as_group),
        "containers": [_container(settings, container)],
    }
    if container.mounts:
        pod["volumes"] = [mount.volume for mount in container.mounts]
    if settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        pod["tolerations"] = tolerated(settings.tolerations)
    if settings.topology_spread:
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": unsatisfiable,
                "labelSelector": {"matchLabels": dict(labels)},
                # Counts the pods of one revision: those of the one before are about to go.
                "matchLabelKeys": ["pod-template-hash"],
            }
            for key, unsatisfiable in (
                ("topology.kubernetes.io/zone", "ScheduleAnyway"),
                ("kubernetes.io/hostname", "DoNotSchedule"),
            )
        ]
    return pod


def _container(settings: ModuleSettings, container: Container) -> dict[str, Any]:
    role = container.role
    made: dict[str, Any] = {
        "name": container.name,
        "image": container.image,
        "imagePullPolicy": "IfNotPresent",
        "args": list(role.args),
        "env": [dict(e) for e in container.env],
        "resources": role.resources.model_dump(),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if role.ports:
        made["ports"] = [{"name": p.name, "containerPort": p.number, "protocol": "TCP"} for p in role.ports]
    if role.probed:
        probe = settings.probe
        for kind, path, failures in (
            ("readinessProbe", probe.readiness_path or probe.path, probe.readiness_failures),
            ("livenessProbe", probe.path, probe.liveness_failures),
        ):
            made[kind] = {
                "httpGet": {"path": path, "port": role.ports[0].name},
                "periodSeconds": probe.period_seconds,
                "timeoutSeconds": probe.timeout_seconds,
                "failureThreshold": failures,
            }
    elif role.ports:
        listening = {"tcpSocket": {"port": role.ports[0].name}, "periodSeconds": settings.probe.period_seconds}
        made["readinessProbe"] = {**listening, "failureThreshold": settings.probe.readiness_failures}
        made["livenessProbe"] = {**listening, "failureThreshold": settings.probe.liveness_failures}
    if settings.drain_seconds and not role.singleton:
        # Kubernetes' own sleep: an image need not have a shell. The pod has left the Service by then, but not every
        # kube-proxy knows it yet.
        made["lifecycle"] = {"preStop": {"sleep": {"seconds": settings.drain_seconds}}}
    if container.mounts:
        made["volumeMounts"] = [mount.mount for mount in container.mounts]
    return made
