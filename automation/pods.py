"""A pod as far as a rollout is concerned, and which of its states no waiting will heal. Pure: an object in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.killed import termination_message
from components.patience import patience

if TYPE_CHECKING:
    from lightkube.models.core_v1 import Container, ContainerStatus
    from lightkube.resources.core_v1 import Pod

MODULE = "rollout.formance.com/module"
JOB = "rollout.formance.com/job"
WITNESS = "witness"
JOB_NAME = "batch.kubernetes.io/job-name"
OWNER = "rollout.formance.com/owner"
NAME = "app.kubernetes.io/name"
VERSION = "app.kubernetes.io/version"

# Jobs that come and go beside the update; who runs them tells of them.
APART = frozenset({"rehearse", "backup", "backups", "restore"})


@dataclass(frozen=True)
class PodFacts:
    """One pod at one moment.

    Args:
        name: of the pod.
        module: it belongs to.
        version: label; empty where the pod has none.
        job: name of the Job that made it, empty for a Deployment's pod.
        kind: "migrate", "database" or "validate" for a Job's pod, "serve" for a Deployment's.
        container: its only or first container.
        phase: Pending, Running, Succeeded, Failed.
        ready: the Ready condition.
        started: its container runs or has run, so that there is a log.
        restarts: of the container.
        exit_code: of the container's latest end, None if it has not ended.
        termination_message: of that end.
        reason: why it waits or cannot be scheduled (ImagePullBackOff, Unschedulable, ...), or empty.
        message: that reason in words.
        deleted: it is being deleted.
        witnessed: it has the sidecar that compares the database before and after.
        witness: last words of the sidecar that compared the database before and after.
    """

    name: str
    module: str
    version: str
    job: str
    kind: str
    container: str
    phase: str
    ready: bool
    started: bool
    restarts: int
    exit_code: int | None
    termination_message: str
    reason: str
    message: str
    deleted: bool = False
    witnessed: bool = False
    witness: str = ""

    @classmethod
    def none(cls, job: str, module: str, version: str, kind: str, why: str) -> PodFacts:
        """In the place of a Job's pod that Kubernetes does not admit; its name is the Job's.

        Args:
            job: name.
            module: it belongs to.
            version: label.
            kind: of the Job.
            why: in the API's words.
        """
        return cls(job, module, version, job, kind, "", "Pending", False, False, 0, None, "", "FailedCreate", why)

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"Job {self.job} has no pod" if self.name == self.job else f"Pod {self.name}"

    @property
    def ended(self) -> bool:
        """A Job's pod that will not run any more."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def witness_is_due(self) -> bool:
        """Its migration has ended, and what became of the database has not been told yet."""
        return self.witnessed and self.exit_code is not None and not self.ended and not self.witness

    def patience(self) -> float | None:
        """Seconds after which the pod's present state counts as final; None if waiting may help."""
        return None if self.deleted else patience(self.reason, self.message)

    @property
    def state(self) -> str:
        """In a few words, for people."""
        if self.reason:
            return self.reason + (f": {self.message}" if self.message else "")
        if self.exit_code is not None and not self.ready:
            return f"container exited with code {self.exit_code}" + (
                f", {self.restarts} restarts" if self.restarts else ""
            )
        if self.ready:
            return "ready"
        return "running but not ready" if self.phase == "Running" else self.phase.lower()


def observe(pod: Pod) -> PodFacts:
    """The facts of a pod object."""
    labels = pod.metadata.labels or {}
    status = pod.status
    containers = (status and status.containerStatuses) or []
    first = containers[0] if containers else None
    waiting = first and first.state and first.state.waiting
    terminated = first and (
        (first.state and first.state.terminated) or (first.lastState and first.lastState.terminated)
    )
    running = first and first.state and first.state.running
    reason = (waiting and waiting.reason) or ""
    message = (waiting and waiting.message) or ""
    if reason in ("ContainerCreating", "PodInitializing"):
        reason = message = ""
    before = (status and status.initContainerStatuses) or []
    if not reason:
        # What runs before the first container can be what does not start.
        for each in before:
            held = each.state and each.state.waiting
            if held and held.reason not in (None, "ContainerCreating", "PodInitializing"):
                reason, message = held.reason, held.message or ""
    conditions = {c.type: c for c in (status and status.conditions) or []}
    scheduled = conditions.get("PodScheduled")
    if not reason and scheduled and scheduled.status == "False":
        reason, message = scheduled.reason or "Unschedulable", scheduled.message or ""
    ready = conditions.get("Ready")
    job = labels.get(JOB_NAME) or labels.get("job-name") or ""
    spec_containers = (pod.spec and pod.spec.containers) or []
    return PodFacts(
        name=pod.metadata.name or "",
        module=labels.get(MODULE) or labels.get(NAME) or "",
        version=labels.get("rollout.formance.com/version") or labels.get(VERSION) or "",
        job=job,
        kind=(labels.get(JOB) or "migrate") if job else "serve",
        container=first.name if first else (spec_containers[0].name if spec_containers else ""),
        phase=(status and status.phase) or "Pending",
        ready=bool(ready and ready.status == "True"),
        started=bool(running or terminated),
        restarts=first.restartCount if first else 0,
        exit_code=terminated.exitCode if terminated else None,
        termination_message=termination_message(
            terminated.message or "", terminated.exitCode, terminated.reason or "", _memory(spec_containers, first.name)
        )
        if first and terminated
        else "",
        reason=reason,
        message=message.strip(),
        deleted=pod.metadata.deletionTimestamp is not None,
        witnessed=any(each.name == WITNESS for each in before),
        witness=next((_words(each) for each in before if each.name == WITNESS), ""),
    )


def _memory(containers: Sequence[Container], name: str) -> str:
    """The limit of a container's memory; empty where it has none."""
    found = next((c.resources for c in containers if c.name == name), None)
    return str(((found and found.limits) or {}).get("memory", ""))


def _words(container: ContainerStatus) -> str:
    ended = container.state and container.state.terminated
    return (ended and ended.message) or ""
