"""What rehearsals and backups do in the live cluster: make a Job, follow its pod, clear what is left of earlier ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import pod_log
from .cluster import LiveCluster
from .errors import ClusterUnreachable, ForeignObject, JobsLeft
from .foreign_text import one_line
from .killed import termination_message
from .names import JOB, MODULE, NAME, OWNER, VERSION, migrated_name
from .rehearsal import Serving, is_serving, of_module
from .rehearsing import Container, PodState

if TYPE_CHECKING:
    from lightkube.models.core_v1 import ContainerStatus
    from lightkube.resources.core_v1 import Pod

# Between two looks at a pod. A watch would not do: lightkube begins it anew when the server has ended it, so that who is given the
# states hears of nothing, not even of Ctrl-C, while the pod does what it did before.
_LOOK_SECONDS = (0.15, 1.0)
# Until a Job without a pod is given up, where something says why and where nothing does.
_NO_POD_SECONDS, _NO_NEWS_SECONDS = 15.0, 120.0
# For which the API may not answer while a Job is followed: longer than a restart of it.
_AWAY_SECONDS = 60.0


class LiveRehearsals:
    """The rehearsals' part of a cluster.

    Args:
        cluster: of the stack.
    """

    def __init__(self, cluster: LiveCluster) -> None:
        self._cluster = cluster

    def exists(self, job: str) -> bool:
        return self._cluster.owner("Job", job, None)[0]

    def serving_pod(self, module: str) -> Serving | None:
        from lightkube.resources.apps_v1 import Deployment

        selector = self._cluster.selected(module)
        if not selector:
            return None
        with self._cluster.reachable():
            found = list(self._cluster.client.list(Deployment, labels={NAME: module}))
        for each in found:
            if is_serving(each.spec.template.metadata.labels or {}, selector) and each.spec.replicas != 0:
                ready = bool(each.status and each.status.readyReplicas)
                return Serving(selector[VERSION], each.spec.template.spec.to_dict(), ready)
        return None

    def serving_version(self, module: str) -> str:
        return self._cluster.selected(module).get(VERSION, "")

    def namespace_uid(self) -> str:
        return self._cluster.namespace_uid()

    def ensure_claim(self, claim: Mapping[str, Any]) -> None:
        from lightkube import ApiError
        from lightkube.resources.core_v1 import PersistentVolumeClaim

        with self._cluster.reachable():
            try:
                self._cluster.client.create(PersistentVolumeClaim.from_dict(dict(claim)))
            except ApiError as error:
                if error.status.reason != "AlreadyExists":
                    raise
        metadata = claim["metadata"]
        _, owner = self._cluster.owner("PersistentVolumeClaim", metadata["name"], None)
        if owner != metadata["labels"][OWNER]:
            raise ForeignObject("PersistentVolumeClaim", metadata["name"], metadata["namespace"], owner)

    def forget_migrated(self, module: str) -> None:
        self._cluster.delete_config_map(migrated_name(module))

    def clear_rehearsals(self, module: str, seconds: float) -> None:
        self.clear_jobs(of_module(module), seconds)

    def clear_jobs(self, labels: Mapping[str, str], seconds: float) -> None:
        from lightkube.resources.batch_v1 import Job
        from lightkube.resources.core_v1 import Pod

        client, end = self._cluster.client, time.monotonic() + seconds
        told: set[str] = set()
        while True:
            with self._cluster.reachable():
                jobs = [str(j.metadata.name) for j in client.list(Job, labels=labels)]
                pods = [str(p.metadata.name) for p in client.list(Pod, labels=labels)]
            if not jobs and not pods:
                return
            for job in set(jobs) - told:
                told.add(job)
                self._cluster.delete_job(job)
            if time.monotonic() > end:
                raise JobsLeft(labels[MODULE], labels[JOB], [*jobs, *pods], seconds)
            time.sleep(0.1)

    def create_job(self, job: Mapping[str, Any]) -> None:
        from lightkube.resources.batch_v1 import Job

        with self._cluster.reachable():
            self._cluster.client.create(Job.from_dict(dict(job)))

    def follow(self, job: str) -> Iterator[PodState | str]:
        from lightkube import ApiError
        from lightkube.resources.core_v1 import Pod

        begun, seen, last = time.monotonic(), False, PodState("")
        away: float | None = None
        pause, most = _LOOK_SECONDS
        while True:
            now = time.monotonic()
            try:
                with self._cluster.reachable():
                    pods = list(self._cluster.client.list(Pod, labels={"batch.kubernetes.io/job-name": job}))
                away = None
                if pods:
                    seen, last = True, _state(pods[-1])
                elif seen:
                    yield PodState("", gone=True)
                    return
                elif now - begun > _NO_POD_SECONDS:
                    why = self._why(job)
                    if why or now - begun > _NO_NEWS_SECONDS:
                        yield f"Job {job} has no pod: {why or 'nothing says why'}"
                        return
            except (ClusterUnreachable, ApiError):
                away = away or now
                if now - away > _AWAY_SECONDS:
                    raise
            yield last
            time.sleep(pause)
            pause = min(pause * 1.1, most)

    def end_job(self, job: str) -> None:
        self._cluster.delete_job(job)

    def log(self, pod: str, container: str) -> Iterator[str]:
        yield from pod_log.follow(self._cluster.client, pod, container)

    def tail(self, pod: str, container: str) -> list[str]:
        return pod_log.tail(self._cluster.client, pod, container, 20)

    def _why(self, job: str) -> str:
        from lightkube.resources.core_v1 import Event

        with self._cluster.reachable():
            events = list(self._cluster.client.list(Event, fields={"involvedObject.name": job, "type": "Warning"}))
        return one_line(events[-1].message or "") if events else ""


def _state(pod: Pod) -> PodState:
    status = pod.status
    statuses = [*((status and status.initContainerStatuses) or []), *((status and status.containerStatuses) or [])]
    ended = (status and status.reason) if status and status.phase == "Failed" else ""
    waiting = next(
        (c.message for c in (status and status.conditions) or [] if c.type == "PodScheduled" and c.status == "False"),
        "",
    )
    containers = tuple(_container(each) for each in statuses)
    if waiting:
        containers = (*containers, Container("pod", waiting=("Unschedulable", waiting)))
    return PodState(pod.metadata.name or "", containers, reason=ended or "")


def _container(status: ContainerStatus) -> Container:
    state = status.state
    waiting = state and state.waiting
    ended = (state and state.terminated) or (waiting and status.lastState and status.lastState.terminated)
    return Container(
        status.name,
        bool(state and state.running),
        ended.exitCode if ended else None,
        termination_message(ended.message or "", ended.exitCode, ended.reason or "") if ended else "",
        (((waiting and waiting.reason) or ""), ((waiting and waiting.message) or "")),
        status.restartCount or 0,
    )
