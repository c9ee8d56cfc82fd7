"""The few things the program asks the live cluster: what serves, what runs, whose an object is.

Pulumi's state says what was deployed. What must not be broken is what serves now, so the guards look at the cluster.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from . import kubeconfig
from .errors import ClusterUnreachable
from .names import JOB, MIGRATED, MODULE, MODULE_VERSION, NAME, OWNER, RECORD, VERSION, WORKER, Owner

if TYPE_CHECKING:
    from lightkube import Client
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.resources.batch_v1 import Job


@dataclass(frozen=True)
class RunningJob:
    """A Job that has not come to its end."""

    name: str
    deadline: float  # seconds, its activeDeadlineSeconds


@dataclass(frozen=True)
class Size:
    """How many pods a Deployment has.

    Args:
        name: of the Deployment.
        replicas: that it should have.
        ready: that are ready.
        least: that its autoscaler keeps, 1 without one.
    """

    name: str
    replicas: int
    ready: int
    least: int = 1


@dataclass(frozen=True)
class WorkerState:
    """A module's worker as it is.

    Args:
        up: it has rolled out what it was last given.
        pods: digits of the pods it was last given, see `components.worker`.
    """

    up: bool
    pods: str


class Cluster(Protocol):
    """What the components need to know of the cluster; the unit tests have one without Kubernetes."""

    def serving(self) -> dict[str, str]:
        """Module name -> the version label its Service selects, for this stack's Services."""

    def selected(self, service: str) -> dict[str, str]:
        """The selector of a Service, empty if there is none of that name."""

    def running_jobs(self, module: str, kind: str) -> list[RunningJob]:
        """The Jobs of a module that run, see `is_running`."""

    def is_active(self, job: str) -> bool:
        """Whether a Job is there and runs, see `is_running`."""

    def users(self, kind: str, name: str) -> list[str]:
        """The Deployments whose pods take an environment variable from a Secret, or mount a ConfigMap."""

    def owner(self, kind: str, name: str, namespace: str | None) -> tuple[bool, str | None]:
        """Whether the object exists, and the owner label it carries."""

    def contents(self, secrets: Sequence[str]) -> dict[str, str]:
        """What is in Secrets, as text that is the same while they are; those that cannot be read are left out."""

    def migrated(self, module: str) -> frozenset[str]:
        """The version labels of a module's migration Jobs that have succeeded."""

    def records(self) -> dict[str, str]:
        """Module name -> the version label that its database was migrated to last, also of modules that do not serve.

        Where the stack has none in its namespace, but had another namespace before, that one's counts.
        """

    def elsewhere(self) -> list[tuple[str, str, str]]:
        """What of this stack is at work in other namespaces: kind, name and namespace of each Service and unfinished Job."""

    def size(self, labels: Mapping[str, str]) -> Size | None:
        """How many pods the Deployment of a version has; None if there is none."""

    def scale(self, deployment: str, replicas: int) -> None:
        """Gives a Deployment so many pods."""

    def worker(self, deployment: str) -> WorkerState | None:
        """The worker of that name; None if there is none."""


def or_none(ask: Callable[[], Any]) -> Any | None:
    """What the API answers about an object; None if there is none of that name."""
    from lightkube import ApiError

    try:
        return ask()
    except ApiError as error:
        if error.status.code == 404:
            return None
        raise


def ended(job: Job) -> Literal["", "succeeded", "failed"]:
    """How a Job has come to its end; empty before."""
    conditions = {c.type for c in (job.status and job.status.conditions) or [] if c.status == "True"}
    return "succeeded" if "Complete" in conditions else "failed" if "Failed" in conditions else ""


def is_running(job: Job) -> bool:
    """Whether a Job has a pod, or will have one.

    For some seconds one that runs has none: before its controller has seen it, and from a pod that failed to the next one
    (`backoffLimit`). Only one that is suspended or being deleted makes no pod any more, and runs as long as it has one.
    """
    if ended(job):
        return False
    if job.status and ((job.status.active or 0) + (job.status.terminating or 0)):
        return True
    return not (job.spec.suspend or job.metadata.deletionTimestamp)


_preparing = threading.Lock()
_prepared = False


def prepare_types() -> None:
    """Makes lightkube ready to be used from several threads; the first call takes some 40 ms.

    lightkube decodes with msgspec, objects and kubeconfigs alike, and msgspec looks into a type on its first use. Two threads
    that do that at once for types that have a part in common crash the process (msgspec 0.22: segmentation faults in
    `decode_list` and in `KubeConfig.from_env`).
    """
    global _prepared
    import msgspec
    from lightkube import KubeConfig
    from lightkube.core import decoders
    from lightkube.resources import apps_v1, autoscaling_v2, batch_v1, core_v1, discovery_v1, networking_v1, policy_v1

    kinds = (
        core_v1.Service,
        core_v1.Pod,
        core_v1.Event,
        core_v1.Namespace,
        core_v1.ConfigMap,
        core_v1.PersistentVolumeClaim,
        core_v1.Secret,
        core_v1.ServiceAccount,
        apps_v1.Deployment,
        batch_v1.Job,
        discovery_v1.EndpointSlice,
        networking_v1.Ingress,
        networking_v1.NetworkPolicy,
        autoscaling_v2.HorizontalPodAutoscaler,
        policy_v1.PodDisruptionBudget,
    )
    with _preparing:
        if _prepared:
            return
        for kind in kinds:
            with suppress(msgspec.ValidationError):
                decoders.decode_object(b"{}", kind)
            with suppress(msgspec.ValidationError):
                decoders.decode_list(b'{"items": []}', kind)
        with suppress(msgspec.ValidationError):
            decoders.decode_status(b"{}")
        decoders.decode_watch_event(b'{"type": "", "object": {}}')
        KubeConfig.from_dict(
            {
                "clusters": [{"name": "", "cluster": {}}],
                "contexts": [{"name": "", "context": {"cluster": ""}}],
                "users": [
                    {
                        "name": "",
                        "user": {"exec": {"apiVersion": "", "command": "", "env": [{"name": "", "value": ""}]}},
                    }
                ],
            }
        )
        _prepared = True


class LiveCluster:
    """The cluster of a kubeconfig context.

    Args:
        namespace: of the stack.
        context: of the kubeconfig; None is the current one.
        owner: the stack whose Services count.
    """

    def __init__(self, namespace: str, context: str | None, owner: Owner) -> None:
        self._namespace = namespace
        self._context = context
        self._owner = owner
        self._config: SingleConfig | None = None

    @cached_property
    def client(self) -> Client:
        import httpx2 as httpx
        from lightkube import Client

        # The client is made late: a hook that never runs should not cost its import.
        prepare_types()
        self._config = kubeconfig.choose(self._context)
        client = Client(
            config=self._config,
            namespace=self._namespace,
            timeout=httpx.Timeout(10, connect=5),
        )
        # Hooks use it to the end of the update, which nobody tells us of; a portal runs many.
        weakref.finalize(self, client.close)
        return client

    @contextmanager
    def reachable(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if (why := kubeconfig.why_not(error, self._config)) is None:
                raise
            raise ClusterUnreachable(self._context, why) from error

    def _get(self, get: Callable[[], Any]) -> Any | None:
        with self.reachable():
            return or_none(get)

    def serving(self) -> dict[str, str]:
        from lightkube.resources.core_v1 import Service

        with self.reachable():
            services = list(self.client.list(Service, labels={OWNER: self._owner.label}))
        selectors = [(s.spec and s.spec.selector) or {} for s in services]
        return {s[NAME]: s[VERSION] for s in selectors if NAME in s and VERSION in s}

    def selected(self, service: str) -> dict[str, str]:
        from lightkube.resources.core_v1 import Service

        found = self._get(lambda: self.client.get(Service, service))
        return dict((found.spec and found.spec.selector) or {}) if found else {}

    def running_jobs(self, module: str, kind: str) -> list[RunningJob]:
        from lightkube.resources.batch_v1 import Job

        with self.reachable():
            jobs = list(self.client.list(Job, labels={MODULE: module, JOB: kind}))
        return [RunningJob(j.metadata.name, float(j.spec.activeDeadlineSeconds or 600)) for j in jobs if is_running(j)]

    def is_active(self, job: str) -> bool:
        from lightkube.resources.batch_v1 import Job

        found = self._get(lambda: self.client.get(Job, job))
        return found is not None and is_running(found)

    def delete_job(self, job: str) -> None:
        """Deletes a Job if it is there, and itself only after its pods."""
        from lightkube.resources.batch_v1 import Job
        from lightkube.types import CascadeType

        self._get(lambda: self.client.delete(Job, job, cascade=CascadeType.FOREGROUND))

    def namespace_uid(self) -> str:
        """What tells the stack's namespace from those of other clusters; empty where there is none."""
        from lightkube.resources.core_v1 import Namespace

        found = self._get(lambda: self.client.get(Namespace, self._namespace))
        return str(found.metadata.uid) if found else ""

    def delete_config_map(self, name: str) -> None:
        """Deletes a ConfigMap if it is there."""
        from lightkube.resources.core_v1 import ConfigMap

        self._get(lambda: self.client.delete(ConfigMap, name))

    def users(self, kind: str, name: str) -> list[str]:
        from lightkube.resources.apps_v1 import Deployment

        with self.reachable():
            deployments = list(self.client.list(Deployment))

        def refers(deployment: Any) -> bool:
            pod = deployment.spec.template.spec
            if kind == "ConfigMap":
                return any(v.configMap and v.configMap.name == name for v in pod.volumes or [])
            variables = [v for c in pod.containers for v in c.env or []]
            references = [v.valueFrom.secretKeyRef for v in variables if v.valueFrom]
            return any(r and r.name == name for r in references)

        return [d.metadata.name for d in deployments if refers(d)]

    def owner(self, kind: str, name: str, namespace: str | None) -> tuple[bool, str | None]:
        from lightkube.resources import apps_v1, autoscaling_v2, batch_v1, core_v1, networking_v1, policy_v1

        kinds: dict[str, Any] = {
            "ConfigMap": core_v1.ConfigMap,
            "Deployment": apps_v1.Deployment,
            "Ingress": networking_v1.Ingress,
            "Job": batch_v1.Job,
            "Namespace": core_v1.Namespace,
            "HorizontalPodAutoscaler": autoscaling_v2.HorizontalPodAutoscaler,
            "NetworkPolicy": networking_v1.NetworkPolicy,
            "PodDisruptionBudget": policy_v1.PodDisruptionBudget,
            "Secret": core_v1.Secret,
            "PersistentVolumeClaim": core_v1.PersistentVolumeClaim,
            "Service": core_v1.Service,
            "ServiceAccount": core_v1.ServiceAccount,
        }
        where = {"namespace": namespace} if namespace else {}
        found = self._get(lambda: self.client.get(kinds[kind], name, **where))
        return (True, (found.metadata.labels or {}).get(OWNER)) if found else (False, None)

    def contents(self, secrets: Sequence[str]) -> dict[str, str]:
        from lightkube import ApiError
        from lightkube.resources.core_v1 import Secret

        found = {}
        for name in secrets:
            try:
                secret = self._get(partial(self.client.get, Secret, name))
            except ClusterUnreachable as error:
                # Who may not read Secrets can still use them; only a change of theirs is then not seen.
                if isinstance(error.__cause__, ApiError):
                    continue
                raise
            if secret is not None:
                found[name] = repr(sorted((secret.data or {}).items()))
        return found

    def migrated(self, module: str) -> frozenset[str]:
        from lightkube.resources.batch_v1 import Job

        labels = {OWNER: self._owner.label, MODULE: module, JOB: "migrate"}
        with self.reachable():
            jobs = list(self.client.list(Job, labels=labels))
        return frozenset(
            (j.metadata.labels or {}).get(MODULE_VERSION, "") for j in jobs if j.status and j.status.succeeded
        )

    def records(self) -> dict[str, str]:
        from lightkube.resources.core_v1 import ConfigMap

        found = sorted(
            self._everywhere(ConfigMap, {RECORD: MIGRATED}), key=lambda m: bool(m.metadata.namespace == self._namespace)
        )
        all_labels = [m.metadata.labels for m in found]  # our own namespace's last, so that they count
        return {labels[MODULE]: labels[MODULE_VERSION] for labels in all_labels if MODULE_VERSION in labels}

    def elsewhere(self) -> list[tuple[str, str, str]]:
        from lightkube.resources.batch_v1 import Job
        from lightkube.resources.core_v1 import Service

        services = self._everywhere(Service, {})
        jobs = [j for j in self._everywhere(Job, {}) if is_running(j)]
        found = [("Service", s.metadata) for s in services] + [("Job", j.metadata) for j in jobs]
        return sorted((kind, m.name, m.namespace) for kind, m in found if m.namespace != self._namespace)

    def _everywhere(self, kind: Any, labels: Mapping[str, str]) -> list[Any]:
        """The stack's objects of a kind in all namespaces, or in its own where no more may be read."""
        from lightkube import ALL_NS, ApiError

        ours = {OWNER: self._owner.label, **labels}
        try:
            with self.reachable():
                return list(self.client.list(kind, namespace=ALL_NS, labels=ours))
        except ClusterUnreachable as error:
            if not isinstance(error.__cause__, ApiError):
                raise
        with self.reachable():
            return list(self.client.list(kind, labels=ours))

    def size(self, labels: Mapping[str, str]) -> Size | None:
        from lightkube.resources.apps_v1 import Deployment
        from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler

        ours = {**labels, OWNER: self._owner.label}
        with self.reachable():
            deployments = list(self.client.list(Deployment, labels=ours))
            scalers = list(self.client.list(HorizontalPodAutoscaler, labels=ours))
        for each in deployments:
            least = max((s.spec.minReplicas or 1 for s in scalers), default=1)
            ready = (each.status and each.status.readyReplicas) or 0
            return Size(each.metadata.name, 1 if each.spec.replicas is None else each.spec.replicas, ready, least)
        return None

    def scale(self, deployment: str, replicas: int) -> None:
        from lightkube.models.autoscaling_v1 import ScaleSpec
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.apps_v1 import Deployment

        with self.reachable():
            scale = Deployment.Scale(metadata=ObjectMeta(name=deployment), spec=ScaleSpec(replicas=replicas))
            self.client.replace(scale, deployment)

    def worker(self, deployment: str) -> WorkerState | None:
        from lightkube.resources.apps_v1 import Deployment

        found = self._get(lambda: self.client.get(Deployment, deployment))
        if found is None:
            return None
        status, wanted = found.status, 1 if found.spec.replicas is None else found.spec.replicas
        seen = status and (status.observedGeneration or 0) >= (found.metadata.generation or 0)
        up = bool(seen and (status.updatedReplicas or 0) >= wanted <= (status.availableReplicas or 0))
        return WorkerState(up, (found.spec.template.metadata.annotations or {}).get(WORKER, ""))
