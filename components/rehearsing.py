"""Runs rehearsals: at the moment a migration Job is about to be created, or alone (``rollout rehearse``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import pulumi

from .errors import RehearsalFailed
from .foreign_text import one_line, read
from .guards import aside
from .names import Owner
from .rehearsal import Serving, Trial, manifest

AT_ONCE = 4  # each is a pod with the serving version in it
# A pod that cannot start its container for so long never will: a registry answers the second pull.
PATIENCE_SECONDS = 9.0
# What a node under load does not manage in its time it tries again.
BUSY_SECONDS = 90.0
_OF_A_BUSY_NODE = ("CreateContainerError", "RunContainerError")
# Until a Job past its deadline is told of, and a stale one has gone.
SLACK_SECONDS = 60.0
_WAITS = ("", "ContainerCreating", "PodInitializing", "CrashLoopBackOff")
_SAYS = {
    "prepare": "rehearsal: {scratch} is made",
    "migrate": "rehearsal: migrating {scratch} to {version}",
    "judge": "rehearsal: {serving} is tried on the schema of {version}",
}

Outcome = Literal["passed", "refused", "migration_failed", "impossible"]


# What it means that a container of the pod has failed.
_ENDS: tuple[tuple[str, Outcome], ...] = (
    ("prepare", "impossible"),
    ("migrate", "migration_failed"),
    ("judge", "refused"),
)


@dataclass(frozen=True)
class Container:
    """A container of a rehearsal's pod.

    Args:
        name: of the container.
        running: it runs now.
        exit_code: of its end, None before.
        message: its termination message.
        waiting: why it does not run yet, reason and text.
    """

    name: str
    running: bool = False
    exit_code: int | None = None
    message: str = ""
    waiting: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class PodState:
    """A rehearsal's pod at one moment; gone once it has been deleted."""

    name: str
    containers: tuple[Container, ...] = ()
    gone: bool = False
    reason: str = ""


class RehearsalCluster(Protocol):
    """What a rehearsal needs of the cluster."""

    def exists(self, job: str) -> bool: ...
    def serving_pod(self, module: str) -> Serving | None:
        """The Deployment that the module's Service selects, whether its pods are ready or not.

        None if nothing is to serve: there is no such Deployment, or it is to have no pods.
        """

    def clear_rehearsals(self, module: str, seconds: float) -> None:
        """Deletes what is left of earlier rehearsals and waits until it is gone: they use the same scratch database."""

    def create_job(self, job: Mapping[str, Any]) -> None: ...
    def follow(self, job: str) -> Iterator[PodState | str]:
        """The states of a Job's pod as they change, and at least every few seconds; a text says why there is no pod."""

    def tail(self, pod: str, container: str) -> list[str]: ...


@dataclass(frozen=True)
class Rehearsed:
    """How a rehearsal came out.

    Args:
        module: name.
        version: that it would migrate to.
        serving: the version that serves.
        job: the rehearsal's Job.
        outcome: "passed"; "refused", as the serving version would break; "migration_failed"; "impossible" to tell.
        seconds: it took.
        words: the last words of the container that decided, as JSON or as the end of its log.
        logs: the end of the log of what went wrong.
        stopped: it was ended because nobody waits for it; what it had made is removed.
    """

    module: str
    version: str
    serving: str
    job: str
    outcome: Outcome
    seconds: float = 0.0
    words: str = ""
    logs: tuple[str, ...] = ()
    stopped: bool = False


class Listener(Protocol):
    """Told what rehearsals do, from several threads."""

    def rehearsing(self, module: str, text: str) -> None: ...
    def rehearsed(self, result: Rehearsed) -> None: ...


@dataclass
class Rehearsals:
    """The rehearsals of one run of the program.

    Args:
        cluster: where they run.
        namespace: of the stack.
        owner: whose label they carry.
        listener: told what they do.
        now: the clock, in seconds.

    Attributes:
        trials: by module, what an update would rehearse.
        stopped: asked whether somebody wants an end, or nobody waits any more: an engine that ends does not end what its hooks began.
    """

    cluster: RehearsalCluster
    namespace: str
    owner: Owner
    listener: Listener | None = None
    now: Callable[[], float] = time.monotonic
    trials: dict[str, Trial] = field(default_factory=dict)
    stopped: Callable[[], bool] = lambda: False
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(AT_ONCE, thread_name_prefix="rehearsal")
    )

    def settle(self) -> None:
        """Waits until nothing of it is at work; to be called once `stopped` says yes."""
        self._threads.shutdown(cancel_futures=True)

    def hooks(self, trial: Trial | None) -> list[pulumi.ResourceHook]:
        """What comes before the creation of a module's migration Job; nothing where it is not rehearsed."""
        if trial is None or trial.settings.rehearse == "off":
            return []
        self.trials[trial.module] = trial

        def rehearse(args: pulumi.ResourceHookArgs) -> None:
            self.gate(trial, dict(args.new_inputs or {})["metadata"]["name"])

        return [pulumi.ResourceHook(f"rehearse-{trial.module}", aside(rehearse, self._threads))]

    def gate(self, trial: Trial, job: str) -> None:
        """Rehearses unless there is nothing to protect: no version serves, or the migration runs already.

        Args:
            trial: what to rehearse.
            job: name of the migration Job that is about to be created.

        Raises:
            RehearsalFailed: the migration must not run.
        """
        # The Job of an update that was killed: it has been rehearsed, runs, and is taken over as it is.
        if self.cluster.exists(job):
            return
        result = self.run(trial)
        if result and result.outcome != "passed":
            raise RehearsalFailed(trial.module, result.version, result.job, result.outcome, result.words)

    def run(self, trial: Trial) -> Rehearsed | None:
        """Rehearses a migration.

        Returns:
            How it came out; None where no version serves.
        """
        serving = self.cluster.serving_pod(trial.module)
        if serving is None:
            return None
        job = manifest(trial, serving, self.namespace, self.owner)
        begun = self.now()
        self.cluster.clear_rehearsals(trial.module, SLACK_SECONDS)
        self.cluster.create_job(job)
        result = self._follow(trial, serving, job["metadata"]["name"], begun)
        if self.listener:
            self.listener.rehearsed(result)
        return result

    def _follow(self, trial: Trial, serving: Serving, job: str, begun: float) -> Rehearsed:
        said = ""
        stuck: tuple[str, float] | None = None

        def ended(outcome: Outcome, words: str, pod: str = "", container: str = "") -> Rehearsed:
            logs = tuple(self.cluster.tail(pod, container)) if pod and outcome != "passed" else ()
            return Rehearsed(
                trial.module, trial.version.label, serving.version, job, outcome, self.now() - begun, words, logs
            )

        for state in self.cluster.follow(job):
            if self.stopped():
                self.cluster.clear_rehearsals(trial.module, SLACK_SECONDS)
                return replace(ended("impossible", "interrupted; what it had made is removed"), stopped=True)
            if isinstance(state, str):
                return ended("impossible", state)
            by_name = {c.name: c for c in state.containers}
            at = next((n for n in ("judge", "migrate", "prepare") if n in by_name and _begun(by_name[n])), "")
            if at and at != said:
                said = at
                text = _SAYS[at].format(scratch=trial.scratch, version=trial.version.label, serving=serving.version)
                if self.listener:
                    self.listener.rehearsing(trial.module, text)
            for name, bad in _ENDS:
                container = by_name.get(name)
                if container and container.exit_code is not None:
                    if container.exit_code:
                        outcome: Outcome = bad if name != "judge" or _refuses(container.message) else "impossible"
                        blamed = "previous" if outcome == "refused" else name
                        return ended(outcome, container.message, state.name, blamed)
                    if name == "judge":
                        return ended("passed", container.message)
            if state.gone or state.reason:
                last = said or "prepare"
                why = f"it did not end within {trial.settings.rehearsal.deadline_seconds} s, or its pod was removed"
                outcome = "migration_failed" if last == "migrate" else "impossible"
                return ended(outcome, f"{why} (at {last}{': ' + one_line(state.reason) if state.reason else ''})")
            waiting = [(c.name, *c.waiting) for c in state.containers if c.waiting[0] not in _WAITS]
            if not waiting:
                stuck = None
                continue
            name, reason, text = waiting[0]
            if stuck is None or stuck[0] != name:
                stuck = (name, self.now())
            elif self.now() - stuck[1] > patience(reason):
                outcome = "migration_failed" if name == "migrate" else "impossible"
                return ended(outcome, f"container {name} cannot start: {one_line(f'{reason}: {text}')}")
        return ended("impossible", "the cluster told nothing more of it")


def patience(reason: str) -> float:
    """Seconds for which a container may wait for a reason other than being made."""
    return BUSY_SECONDS if reason in _OF_A_BUSY_NODE else PATIENCE_SECONDS


def _refuses(words: str) -> bool:
    """Whether the judge has come to a verdict; if not, it failed itself."""
    return read(words).text("outcome") == "breaks"


def _begun(container: Container) -> bool:
    return container.running or container.exit_code is not None
