"""Runs rehearsals: at the moment a migration Job is about to be created, or alone (``rollout rehearse``)."""

from __future__ import annotations

import json
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
from .patience import patience
from .rehearsal import Serving, Trial, manifest

AT_ONCE = 4  # each is a pod with the serving version in it
# Until a Job past its deadline is told of, and a stale one has gone.
SLACK_SECONDS = 60.0
_SAYS = {
    "prepare": "rehearsal: {scratch} is made",
    "warm": "rehearsal: {serving} is started on {scratch}",
    "migrate": "rehearsal: migrating {scratch} to {version}",
    "judge": "rehearsal: {serving}, which ran through it, is asked again and then restarted",
}

Outcome = Literal["passed", "refused", "migration_failed", "impossible"]


# The containers that end, in their order, and what it means that one has failed.
_STEPS: dict[str, Outcome] = {
    "prepare": "impossible",
    "warm": "impossible",
    "migrate": "migration_failed",
    "judge": "refused",
}
# Before the deadline, when Kubernetes removes the pod and its logs with it.
_LOGS_BEFORE_SECONDS = 5.0


@dataclass(frozen=True)
class Container:
    """A container of a rehearsal's pod.

    Args:
        name: of the container.
        running: it runs now.
        exit_code: of its end, None before.
        message: its termination message.
        waiting: why it does not run yet, reason and text.
        restarts: how often it was started again.
    """

    name: str
    running: bool = False
    exit_code: int | None = None
    message: str = ""
    waiting: tuple[str, str] = ("", "")
    restarts: int = 0

    @property
    def begun(self) -> bool:
        return self.running or self.exit_code is not None


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
        container: of the pod, that decided.
        exit_code: of that container; None if it has not ended by itself.
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
    container: str = ""
    exit_code: int | None = None
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
        result = _Following(self, trial, serving, job["metadata"]["name"], begun).end()
        if self.listener:
            self.listener.rehearsed(result)
        return result


class _Following:
    """One rehearsal's pod, followed to its end."""

    def __init__(self, rehearsals: Rehearsals, trial: Trial, serving: Serving, job: str, begun: float) -> None:
        self._all, self._trial, self._serving, self._job, self._begun = rehearsals, trial, serving, job, begun
        self._at = ""
        self._stuck: tuple[str, float] | None = None
        self._kept: tuple[str, ...] = ()

    def end(self) -> Rehearsed:
        """Follows it."""
        for state in self._all.cluster.follow(self._job):
            if self._all.stopped():
                self._all.cluster.clear_rehearsals(self._trial.module, SLACK_SECONDS)
                return replace(self._ended("impossible", "interrupted; what it had made is removed"), stopped=True)
            found = self._ended("impossible", state) if isinstance(state, str) else self._seen(state)
            if found is not None:
                return found
        return self._ended("impossible", "the cluster told nothing more of it")

    def _seen(self, state: PodState) -> Rehearsed | None:
        """How it ended, by what its pod is like; None while it goes on."""
        by_name = {c.name: c for c in state.containers}
        self._tell(by_name)
        for name, outcome in _STEPS.items():
            step = by_name.get(name)
            if step and step.exit_code:
                return self._failed(step, outcome, state.name)
        judge, warm, previous = by_name.get("judge"), by_name.get("warm"), by_name.get("previous")
        if judge and judge.exit_code == 0:
            # What the serving version said when it could not be started anew is in its log.
            words = self._verdict(judge, state.name)
            fails = any(found.text("rule") == "restart-fails" for found in read(words).objects("findings"))
            return self._ended("passed", words, self._tail(state.name, "previous") if fails else (), "judge", 0)
        if previous and previous.restarts and not previous.running and not (warm and warm.exit_code == 0):
            return self._does_not_start(previous, state.name)
        if state.gone or state.reason:
            why = f"it did not end within {self._trial.settings.rehearsal.deadline_seconds} s, or its pod was removed"
            reason = f": {one_line(state.reason)}" if state.reason else ""
            return self._ended("impossible", f"{why} (at {self._at or 'its start'}{reason})", self._kept, self._at)
        if self._all.now() - self._begun > self._trial.settings.rehearsal.deadline_seconds - _LOGS_BEFORE_SECONDS:
            self._kept = self._tail(state.name, "previous" if self._at in ("warm", "judge") else self._at)
        return self._waits(state)

    def _tell(self, by_name: Mapping[str, Container]) -> None:
        at = next((n for n in reversed(_STEPS) if n in by_name and by_name[n].begun), "")
        if at and at != self._at:
            self._at = at
            if self._all.listener:
                text = _SAYS[at].format(
                    scratch=self._trial.scratch, version=self._trial.version.label, serving=self._serving.version
                )
                self._all.listener.rehearsing(self._trial.module, text)

    def _failed(self, step: Container, outcome: Outcome, pod: str) -> Rehearsed:
        words = self._verdict(step, pod) if step.name == "judge" else step.message
        if step.name == "judge" and not _refuses(words):
            outcome = "impossible"  # it has come to no verdict, and failed itself
        blamed = "previous" if step.name == "warm" or outcome == "refused" else step.name
        return self._ended(outcome, words, self._tail(pod, blamed), step.name, step.exit_code)

    def _verdict(self, judge: Container, pod: str) -> str:
        """The verdict as the last line of the log has it whole; the termination message where that is not to be had."""
        last = (self._tail(pod, "judge") or ("",))[-1]
        return last if "outcome" in read(last) else judge.message

    def _does_not_start(self, previous: Container, pod: str) -> Rehearsed:
        code = f" (exit code {previous.exit_code})" if previous.exit_code is not None else ""
        text = f"{self._serving.version}, which serves, does not stay up on a copy of its own schema{code}"
        hint = (
            "See what it needs there: rehearse: copy for its rows, rehearsal.env for its environment; "
            "rehearsal.serve: false judges the schema alone."
        )
        words = json.dumps({"message": text, "hint": hint})
        return self._ended("impossible", words, self._tail(pod, "previous"), "previous", previous.exit_code)

    def _waits(self, state: PodState) -> Rehearsed | None:
        """Whether it waits for what will not come."""
        found = next(((c, limit) for c in state.containers if (limit := patience(*c.waiting)) is not None), None)
        if found is None:
            self._stuck = None
            return None
        container, limit = found
        if self._stuck is None or self._stuck[0] != container.name:
            self._stuck = (container.name, self._all.now())
        if self._all.now() - self._stuck[1] < limit:
            return None
        outcome: Outcome = "migration_failed" if container.name == "migrate" else "impossible"
        why = f"container {container.name} cannot start: {one_line(': '.join(container.waiting))}"
        return self._ended(outcome, why, container=container.name)

    def _tail(self, pod: str, container: str) -> tuple[str, ...]:
        return tuple(self._all.cluster.tail(pod, container)) if pod and container else ()

    def _ended(
        self, outcome: Outcome, words: str, logs: tuple[str, ...] = (), container: str = "", code: int | None = None
    ) -> Rehearsed:
        return Rehearsed(
            self._trial.module,
            self._trial.version.label,
            self._serving.version,
            self._job,
            outcome,
            self._all.now() - self._begun,
            words,
            logs,
            container,
            code,
        )


def _refuses(words: str) -> bool:
    """Whether the judge has come to a verdict; if not, it failed itself."""
    return read(words).text("outcome") == "breaks"
