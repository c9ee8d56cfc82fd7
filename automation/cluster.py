"""What is asked of the Kubernetes API: whether it answers, what serves, why a pod does not run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator
from typing import Any

import httpx2 as httpx
from lightkube import ApiError, Client, ConfigError
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Event, Namespace, PersistentVolumeClaim, Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.types import PatchType

from components import kubeconfig, pod_log
from components.cluster import ended, or_none, prepare_types
from components.foreign_text import cut, one_line
from components.names import MIGRATED, RECORD, migrated_name

from .errors import ClusterUnreachable
from .pods import APART, JOB, MODULE, NAME, OWNER, VERSION, PodFacts, observe
from .verdict import JobState, Serving, Snapshot
from .watch import Stalled

_JOB_VERSION = "rollout.formance.com/version"
CONNECT_SECONDS = 3.0
# A quota may have room again when pods that end are gone.
_ADMISSION_SECONDS = 10.0
_EVENT = 1024  # characters of its message, as many as Kubernetes keeps of one


class Cluster:
    """The namespace of one stack in one cluster.

    Args:
        context: of the kubeconfig; None is the current one.
        namespace: of the stack.
        owner: value of the label on everything the stack made.

    Raises:
        ClusterUnreachable: the kubeconfig cannot be used.
    """

    def __init__(self, context: str | None, namespace: str, owner: str) -> None:
        prepare_types()
        self.namespace = namespace
        self.owner = owner
        try:
            self._config = config = kubeconfig.choose(context)
            self.context = config.context_name or context or "current"
            self.server = str(config.cluster.server)
            self._client = Client(
                config=config,
                namespace=namespace,
                timeout=httpx.Timeout(10.0, connect=CONNECT_SECONDS),
                field_manager="rollout",
            )
        except (ConfigError, OSError, ValueError, KeyError, AttributeError) as error:
            raise ClusterUnreachable(context or "current", "unknown", str(error)) from error

    def close(self) -> None:
        self._client.close()

    @contextlib.contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            why = kubeconfig.why_not(error, self._config)
            if why is None or (isinstance(error, ApiError) and error.status.code not in (401, 403)):
                raise
            raise ClusterUnreachable(self.context, self.server, why, forbidden=isinstance(error, ApiError)) from error

    def snapshot(self) -> Snapshot:
        """What serves, which versions have a Deployment, which Jobs there are.

        Raises:
            ClusterUnreachable: the API does not answer, or not to us.
        """
        try:
            return self._snapshot()
        except ClusterUnreachable as error:
            if not isinstance(error.__cause__, httpx.TimeoutException):
                raise
            return self._snapshot()  # a machine under load answers the second time

    def _snapshot(self) -> Snapshot:
        labels = {OWNER: self.owner}
        with self._reachable():
            services = list(self._client.list(Service, labels=labels))
            if not services:
                # Nothing to count for, but what an interrupted first install left.
                return Snapshot(jobs=self._jobs())
            deployments = list(self._client.list(Deployment, labels=labels))
            slices = list(self._client.list(EndpointSlice, labels={"kubernetes.io/service-name": _ANY}))
            jobs = self._jobs()
        versions: dict[str, dict[str, tuple[int, int]]] = {}
        for each in deployments:
            matched = each.spec.selector.matchLabels or {}
            if NAME in matched and VERSION in matched:
                counts = (
                    (each.status and each.status.readyReplicas) or 0,
                    each.spec.replicas if each.spec.replicas is not None else 1,
                )
                versions.setdefault(matched[NAME], {})[matched[VERSION]] = counts
        endpoints: dict[str, int] = {}
        for each in slices:
            service = (each.metadata.labels or {}).get("kubernetes.io/service-name", "")
            answering = [e for e in each.endpoints or [] if not e.conditions or e.conditions.ready is not False]
            endpoints[service] = endpoints.get(service, 0) + len(answering)
        serving: dict[str, Serving] = {}
        for each in services:
            selector = (each.spec and each.spec.selector) or {}
            if NAME in selector and VERSION in selector:
                module, version = selector[NAME], selector[VERSION]
                ready, desired = versions.get(module, {}).get(version, (0, 0))
                serving[module] = Serving(version, min(ready, endpoints.get(each.metadata.name, 0)), desired)
        return Snapshot(serving, jobs, versions)

    def remove_namespace(self, seconds: float = 120.0) -> str:
        """Removes the namespace of a stack that is gone with its databases, where the stack has made it, and waits for its end.

        Args:
            seconds: to wait for.

        Returns:
            Why it is still there; empty where it is not.

        Raises:
            ClusterUnreachable: the API does not answer, or not to us.
        """
        with self._reachable():
            namespace = or_none(lambda: self._client.get(Namespace, self.namespace))
            if namespace is None:
                return ""
            if (namespace.metadata.labels or {}).get(OWNER) != self.owner:
                return "this stack has not made it"
            records = self.records()
            if records:
                return f"it has the records of the databases of {', '.join(sorted(records))}"
            if list(self._client.list(PersistentVolumeClaim, labels={OWNER: self.owner})):
                return "it has the claims with the backups"
            or_none(lambda: self._client.delete(Namespace, self.namespace))
            end = time.monotonic() + seconds
            while or_none(lambda: self._client.get(Namespace, self.namespace)) is not None:
                if time.monotonic() > end:
                    return f"Kubernetes has not removed it in {seconds:.0f} s"
                time.sleep(0.5)
        return ""

    def records(self) -> dict[str, str]:
        """The version each module's database was migrated to last, as it was written down."""
        with self._reachable():
            found = [
                each.metadata.labels or {}
                for each in self._client.list(ConfigMap, labels={OWNER: self.owner, RECORD: MIGRATED})
            ]
        return {labels[MODULE]: labels[_JOB_VERSION] for labels in found if {MODULE, _JOB_VERSION} <= labels.keys()}

    def record(self, module: str, version: str) -> None:
        """Writes down the version that a module's database is of; nothing where there is no record of it."""
        change = {"metadata": {"labels": {_JOB_VERSION: version}}}
        with self._reachable():
            or_none(lambda: self._client.patch(ConfigMap, migrated_name(module), change, patch_type=PatchType.MERGE))

    def _jobs(self) -> tuple[JobState, ...]:
        found = sorted(self._client.list(Job, labels={OWNER: self.owner}), key=lambda j: j.metadata.creationTimestamp)
        states = []
        for job in found:
            labels = job.metadata.labels or {}
            if labels.get(JOB) in APART:
                continue  # it comes and goes, and nothing waits for it
            state = ended(job) or "active"
            states.append(
                JobState(
                    job.metadata.name, labels.get(MODULE, ""), labels.get(JOB, ""), labels.get(_JOB_VERSION, ""), state
                )
            )
        return tuple(states)

    def pods(self) -> tuple[list[PodFacts], str]:
        """All pods of the stack, and the resource version to watch on from."""
        found = self._client.list(Pod, labels={OWNER: self.owner})
        facts = [observe(pod) for pod in found]
        return facts, str(found.resourceVersion)

    def watch_pods(self, since: str, seconds: int) -> Iterator[tuple[bool, PodFacts]]:
        """Changes of the stack's pods for some seconds: (gone, facts)."""
        for op, pod in self._client.watch(
            Pod, labels={OWNER: self.owner}, resource_version=since, server_timeout=seconds
        ):
            yield op == "DELETED", observe(pod)

    def follow_log(self, pod: str, container: str) -> Iterator[str]:
        """The lines of a container's log as they come, until it ends."""
        yield from pod_log.follow(self._client, pod, container, pod_log.SHOWN)

    def log_tail(self, pod: str, container: str, lines: int) -> list[str]:
        """The last lines of a container's log; what it wrote before its latest restart where it has just begun anew."""
        return pod_log.tail(self._client, pod, container, lines)

    def warnings(self, pod: str) -> list[str]:
        """The warning events of a pod, latest last, as text."""
        fields = {"involvedObject.name": pod, "type": "Warning"}
        try:
            events = list(self._client.list(Event, fields=fields))
        except httpx.HTTPError:
            return []
        return [
            f"{e.reason}: {one_line(cut(e.message or '', _EVENT))}" + (f" (x{e.count})" if (e.count or 1) > 1 else "")
            for e in events
        ]

    def is_scaling_up(self, pod: str) -> bool:
        """Whether a cluster autoscaler makes room for the pod; then it only has to be waited for."""
        try:
            events = list(self._client.list(Event, fields={"involvedObject.name": pod, "reason": "TriggeredScaleUp"}))
        except httpx.HTTPError:
            return False
        return bool(events)

    def stalled(self) -> dict[tuple[str, str], Stalled]:
        """The Deployments that have given up, by module and version."""
        found = {}
        for each in self._client.list(Deployment, labels={OWNER: self.owner}):
            labels = each.metadata.labels or {}
            for condition in (each.status and each.status.conditions) or []:
                late = (condition.type, condition.status) == ("Progressing", "False")
                # Of a pod that is not admitted a Deployment says at once that it could not be made, and waits on.
                refused = (condition.type, condition.status) == ("ReplicaFailure", "True")
                where = labels.get(NAME, ""), labels.get(VERSION, "")
                if late or (refused and where not in found):
                    why = f"Deployment {each.metadata.name}: {condition.reason}: {condition.message}"
                    patience = 0.0 if late else _ADMISSION_SECONDS
                    found[where] = Stalled(why, str(condition.lastUpdateTime), patience)
        return found

    def not_admitted(self) -> list[PodFacts]:
        """The stack's Jobs at work whose pod the API refuses to make, as a quota or a policy of the namespace has it.

        Neither the Job nor the engine that waits for it says so.
        """
        found = []
        for job in self._client.list(Job, labels={OWNER: self.owner}):
            labels, status = job.metadata.labels or {}, job.status
            if labels.get(JOB) in APART or ended(job) or (status and (status.active or status.failed)):
                continue
            fields = {"involvedObject.name": job.metadata.name, "type": "Warning", "reason": "FailedCreate"}
            why = [" ".join((e.message or "").split()) for e in self._client.list(Event, fields=fields)]
            if why:
                names = labels.get(MODULE, ""), labels.get(_JOB_VERSION, ""), labels.get(JOB, "migrate")
                found.append(PodFacts.none(job.metadata.name, *names, why[-1]))
        return found

    def is_up(self, deployment: str) -> bool:
        """Whether a Deployment has rolled out what it was last given."""
        found = self._client.get(Deployment, deployment)
        status, wanted = found.status, 1 if found.spec.replicas is None else found.spec.replicas
        seen = status and (status.observedGeneration or 0) >= (found.metadata.generation or 0)
        return bool(seen and (status.updatedReplicas or 0) >= wanted <= (status.availableReplicas or 0))

    def put_back(self, deployment: str) -> str | None:
        """Gives a Deployment the pods it had before, as `kubectl rollout undo` does.

        Returns:
            Their version; None if it had none before.
        """
        found = self._client.get(Deployment, deployment)
        sets = [
            each
            for each in self._client.list(ReplicaSet, labels={OWNER: self.owner})
            if any(o.uid == found.metadata.uid for o in each.metadata.ownerReferences or [])
        ]
        now = _revision(found)
        earlier = max((s for s in sets if _revision(s) < now), key=_revision, default=None)
        if earlier is None:
            return None
        template = earlier.spec.template.to_dict()
        labels = {k: v for k, v in template["metadata"]["labels"].items() if k != "pod-template-hash"}
        template["metadata"] = {**template["metadata"], "labels": labels}
        change = [{"op": "replace", "path": "/spec/template", "value": template}]
        self._client.patch(Deployment, deployment, change, patch_type=PatchType.JSON)
        return str(labels.get(VERSION, "the one before"))

    def end_pods(self, names: Collection[str]) -> frozenset[str]:
        """Deletes the pods of a module's workloads, all at once; what owns them makes others.

        Args:
            names: that their label app.kubernetes.io/name has.

        Returns:
            Their UIDs.
        """
        ended = set()
        for pod in self._client.list(Pod, labels={OWNER: self.owner, NAME: list(names)}):
            ended.add(str(pod.metadata.uid))
            with contextlib.suppress(ApiError):  # it was gone before
                self._client.delete(Pod, pod.metadata.name)
        return frozenset(ended)

    def are_replaced(self, names: Collection[str], ended: Collection[str]) -> bool:
        """Whether other pods than those are there and ready, and every Deployment has what it should have."""
        pods = list(self._client.list(Pod, labels={OWNER: self.owner, NAME: list(names)}))
        new = [p for p in pods if p.metadata.uid not in ended and p.metadata.deletionTimestamp is None]
        ready = [p for p in new if observe(p).ready]
        deployments = list(self._client.list(Deployment, labels={OWNER: self.owner, NAME: list(names)}))
        wanted = sum(d.spec.replicas if d.spec.replicas is not None else 1 for d in deployments)
        serving = [d for d in deployments if (d.status and d.status.readyReplicas)]
        return bool(serving) and len(ready) == len(new) >= wanted

    def end_job(self, job: str) -> None:
        """Lets a Job that can never run fail now, with the cluster's own DeadlineExceeded, so that the engine records a clean failure."""
        self._client.patch(Job, job, {"spec": {"activeDeadlineSeconds": 1}}, patch_type=PatchType.MERGE)


def _revision(found: Any) -> int:
    """https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#checking-rollout-history-of-a-deployment"""
    return int((found.metadata.annotations or {}).get("deployment.kubernetes.io/revision", 0))


def _exists() -> Any:
    from lightkube import operators

    return operators.exists()


_ANY = _exists()
