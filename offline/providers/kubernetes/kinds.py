"""The kinds that are covered: where they are served, and which of their fields can only be set once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from offline.engine.errors import NotCovered

Object = dict[str, Any]

# What this repository's programs and policies declare, and what the Pulumi CLI was recorded with. An asterisk: not in a namespace.
_KINDS = {
    "v1": "ConfigMap Namespace* PersistentVolumeClaim Pod Secret Service ServiceAccount",
    "apps/v1": "Deployment StatefulSet",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "batch/v1": "Job",
    "networking.k8s.io/v1": "Ingress NetworkPolicy",
    "policy/v1": "PodDisruptionBudget",
}


@dataclass(frozen=True)
class Resource:
    """Where a kind is served."""

    api_version: str
    plural: str
    namespaced: bool

    def collection(self, namespace: str = "") -> str:
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        inside = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{root}{inside}/{self.plural}"

    def path(self, namespace: str, name: str) -> str:
        return f"{self.collection(namespace or 'default')}/{quote(name, safe='')}"


def _plural(kind: str) -> str:
    k = kind.lower()
    return k[:-1] + "ies" if k.endswith("y") else k + ("es" if k.endswith("s") else "s")


_RESOURCES = {
    (version, kind.rstrip("*")): Resource(version, _plural(kind.rstrip("*")), not kind.endswith("*"))
    for version, kinds in _KINDS.items()
    for kind in kinds.split()
}


def resource(o: Object) -> Resource:
    """Where an object's kind is served. Raises: NotCovered."""
    version, kind = o.get("apiVersion", ""), o.get("kind", "")
    if (version, kind) not in _RESOURCES:
        raise NotCovered(f"the Kubernetes kind {version} {kind}")
    return _RESOURCES[version, kind]


def of_type(type: str) -> Resource:
    """The same for a resource's type: ``kubernetes:core/v1:Pod``."""
    _, _, version_and_kind = type.partition(":")
    version, _, kind = version_and_kind.rpartition(":")
    return resource({"apiVersion": version.removeprefix("core/"), "kind": kind})


_SELECTOR = (".spec.selector",)
_CONTAINER = (
    "args", "command", "env", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "ports", "readinessProbe", "resources",
    "securityContext", "stdin", "stdinOnce", "terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts", "workingDir",
)  # fmt: skip
_POD = (
    "affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy", "enableServiceLinks", "hostAliases", "hostIPC", "hostNetwork", "hostPID",
    "hostname", "imagePullSecrets", "nodeName", "nodeSelector", "overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates",
    "restartPolicy", "runtimeClassName", "schedulerName", "securityContext", "serviceAccount", "serviceAccountName", "shareProcessNamespace",
    "subdomain", "terminationGracePeriodSeconds", "volumes",
)  # fmt: skip

# What the real provider replaces for (its diff.go): less than what the server refuses, and a few things it would take.
_FORCE_NEW: dict[str, tuple[str, ...]] = {
    "ConfigMap": (".binaryData", ".data"),
    "Deployment": _SELECTOR,
    "Job": (".spec.completions", ".spec.parallelism", ".spec.template", *_SELECTOR),
    "Pod": (*(f".spec.{f}" for f in _POD), *(f".spec.{c}[*].{f}" for c in ("containers", "initContainers") for f in _CONTAINER)),
    "Secret": (".type", ".stringData", ".data"),
    "Service": (".spec.clusterIP",),
    "StatefulSet": (".spec.podManagementPolicy", ".spec.revisionHistoryLimit", ".spec.serviceName", ".spec.volumeClaimTemplates", *_SELECTOR),
}  # fmt: skip


def force_new(o: Object) -> tuple[str, ...]:
    """The paths of an object whose change replaces it. ``[*]`` stands for any element of a list."""
    return (".metadata.name", ".metadata.namespace", *_FORCE_NEW.get(o.get("kind", ""), ()))
