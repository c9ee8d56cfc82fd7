"""Which kinds exist, where they are served, and which of their fields can only be set once."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from .client import ApiError, Client, Object, segment

# Kinds every server of today serves, so that a program of these needs no discovery. An asterisk: not in a namespace.
_BUILT_IN = {
    "v1": "ConfigMap Endpoints Event LimitRange Namespace* Node* PersistentVolume* PersistentVolumeClaim Pod PodTemplate "
    "ReplicationController ResourceQuota Secret Service ServiceAccount",
    "apps/v1": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "batch/v1": "CronJob Job",
    "networking.k8s.io/v1": "Ingress IngressClass* NetworkPolicy",
    "policy/v1": "PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1": "ClusterRole* ClusterRoleBinding* Role RoleBinding",
    "scheduling.k8s.io/v1": "PriorityClass*",
    "storage.k8s.io/v1": "StorageClass*",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition*",
}


@dataclass(frozen=True)
class Resource:
    """Where a kind is served."""

    api_version: str
    plural: str
    namespaced: bool

    def collection(self, namespace: str = "") -> str:
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        inside = f"/namespaces/{segment(namespace)}" if self.namespaced and namespace else ""
        return f"{root}{inside}/{self.plural}"

    def path(self, namespace: str, name: str) -> str:
        return f"{self.collection(namespace or 'default')}/{segment(name)}"


def _plural(kind: str) -> str:
    k = kind.lower()
    if k == "endpoints":
        return k
    return k[:-1] + "ies" if k.endswith("y") else k + ("es" if k.endswith("s") else "s")


_KNOWN = {
    (version, kind.rstrip("*")): Resource(version, _plural(kind.rstrip("*")), not kind.endswith("*"))
    for version, kinds in _BUILT_IN.items()
    for kind in kinds.split()
}


class NoMatch(Exception):
    """The server does not serve this kind: a custom resource whose definition does not exist (yet)."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f'no matches for kind "{kind}" in version "{api_version}"')


class Discovery:
    """Finds kinds: the known ones at once, any other by asking the server for its group and version, once."""

    def __init__(self, client: Client | None) -> None:
        self._client = client
        self._found: dict[str, dict[str, Resource]] = {}
        self._lock = threading.Lock()

    def resource(self, api_version: str, kind: str) -> Resource:
        """Raises: NoMatch if the kind is not served."""
        api_version = api_version.removeprefix("core/")
        if known := _KNOWN.get((api_version, kind)):
            return known
        with self._lock:
            if api_version not in self._found and self._client:
                root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
                try:
                    answer = self._client.get(root)
                except ApiError as e:
                    if not e.not_found:
                        raise
                    raise NoMatch(api_version, kind) from e
                self._found[api_version] = {
                    r["kind"]: Resource(api_version, r["name"], r["namespaced"])
                    for r in answer["resources"]
                    if "/" not in r["name"]
                }
            if found := self._found.get(api_version, {}).get(kind):
                return found
        raise NoMatch(api_version, kind)

    def of(self, o: Object) -> Resource:
        return self.resource(o.get("apiVersion", ""), o.get("kind", ""))

    def namespaced(self, api_version: str, kind: str) -> bool:
        """Whether objects of the kind live in a namespace; assumed of a custom resource without a definition."""
        try:
            return self.resource(api_version, kind).namespaced
        except NoMatch:
            return True

    def forget(self) -> None:
        """After a definition was made, or a kind was not found."""
        with self._lock:
            self._found.clear()


_GROUPS = {
    "", "core", "apps", "autoscaling", "batch", "extensions", "policy", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
    "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io",
    "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
}  # fmt: skip


def built_in(api_version: str) -> bool:
    """Whether a group is Kubernetes' own: its types are known, so inputs can be normalised (``normalize``)."""
    return api_version.rpartition("/")[0] in _GROUPS


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
_VOLUME = (
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker", "gcePersistentDisk", "glusterfs",
    "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
)  # fmt: skip

# What the real provider replaces for (its diff.go): less than what the server refuses, and a few things it would take.
_FORCE_NEW: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps/v1", "DaemonSet"): _SELECTOR,
    ("apps/v1", "Deployment"): _SELECTOR,
    ("apps/v1", "StatefulSet"): (".spec.podManagementPolicy", ".spec.revisionHistoryLimit", ".spec.serviceName", ".spec.volumeClaimTemplates", *_SELECTOR),
    ("batch/v1", "Job"): (".spec.completions", ".spec.parallelism", ".spec.template", *_SELECTOR),
    ("policy/v1beta1", "PodDisruptionBudget"): (".spec",),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): (".roleRef",),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): (".roleRef",),
    ("storage.k8s.io/v1", "StorageClass"): (".parameters", ".provisioner"),
    ("v1", "PersistentVolume"): tuple(f".spec.{f}" for f in _VOLUME),
    ("v1", "PersistentVolumeClaim"): (".spec.accessModes", ".spec.storageClassName", ".spec.volumeName", *_SELECTOR),
    ("v1", "Pod"): (*(f".spec.{f}" for f in _POD), *(f".spec.{c}[*].{f}" for c in ("containers", "initContainers") for f in _CONTAINER)),
    ("v1", "ResourceQuota"): (".spec.scopes",),
    ("v1", "Service"): (".spec.clusterIP",),
}  # fmt: skip


def force_new(o: Object, *, mutable_config_maps: bool = False, mutable_secrets: bool = False) -> tuple[str, ...]:
    """The paths of an object whose change replaces it. ``[*]`` stands for any element of a list."""
    version, kind = o.get("apiVersion", "").removeprefix("core/"), o.get("kind", "")
    identity = (".metadata.name", ".metadata.namespace")
    immutable = o.get("immutable") is True
    if (version, kind) == ("v1", "Secret"):
        return (*identity, ".type") + (() if mutable_secrets and not immutable else (".stringData", ".data"))
    if (version, kind) == ("v1", "ConfigMap"):
        return identity + (() if mutable_config_maps and not immutable else (".binaryData", ".data"))
    return (*identity, *_FORCE_NEW.get((version, kind), ()))
