"""Follows the pods of a stack while the engine works: logs as they come, causes as soon as they are known, and an early end
for what no waiting will heal.

The engine tells of a failed Job without its log, and waits for an image that does not exist until the Job's deadline.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from components.termination_message import TerminationMessage, parse

from . import database
from .pods import APART, PodFacts
from .verdict import JobReport, PodReport, Watched

_TAIL_LINES = 50
_WATCH_SECONDS = 20
_TICK_SECONDS = 0.5
_CLUSTER_ERRORS: tuple[type[BaseException], ...] = (Exception,)


@dataclass(frozen=True)
class Stalled:
    """A Deployment past its progress deadline, or whose pods are not admitted.

    Args:
        why: in the cluster's words.
        since: when it gave up. It says so until its pods are ready, long after the cause may have gone.
        patience: seconds for which it may be so without being final.
    """

    why: str
    since: str
    patience: float = 0.0


class PodSource(Protocol):
    """The part of `cluster.Cluster` that is needed here; the tests have another."""

    def pods(self) -> tuple[list[PodFacts], str]: ...
    def watch_pods(self, since: str, seconds: int) -> Iterator[tuple[bool, PodFacts]]: ...
    def follow_log(self, pod: str, container: str) -> Iterator[str]: ...
    def log_tail(self, pod: str, container: str, lines: int) -> list[str]: ...
    def warnings(self, pod: str) -> list[str]: ...
    def is_scaling_up(self, pod: str) -> bool: ...
    def stalled(self) -> Mapping[tuple[str, str], Stalled]: ...
    def not_admitted(self) -> list[PodFacts]: ...
    def end_job(self, job: str) -> None: ...


class Listener(Protocol):
    """Told what happens, from several threads, one call at a time."""

    def job_log(self, pod: PodFacts, line: str) -> None: ...
    def job_failed(self, pod: PodFacts, words: TerminationMessage, state: str) -> None: ...
    def pod_changed(self, pod: PodFacts, ready: int, total: int) -> None: ...
    def given_up(self, pod: PodFacts, why: str) -> None: ...


@dataclass
class _Tracked:
    facts: PodFacts
    reason_since: float
    logs: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    follower: threading.Thread | None = None
    told: bool = False
    given_up: str = ""


class Watch:
    """Watches until it is stopped.

    Args:
        source: the cluster.
        listener: told of what happens.
        clean: applied to every text that leaves, to keep secrets in.
        give_up: called once when a Deployment's new version can never become healthy: the engine would wait on.
        now: the clock, in seconds.
    """

    def __init__(
        self,
        source: PodSource,
        listener: Listener,
        clean: Callable[[str], str],
        give_up: Callable[[], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._listener = listener
        self._clean = clean
        self._give_up = give_up
        self._now = now
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._pods: dict[str, _Tracked] = {}
        self._ignored: set[str] = set()
        self._deploying: dict[str, str] = {}
        self._halted: dict[str, str] = {}
        self._stalled: Mapping[tuple[str, str], Stalled] = {}
        self._first_stalled: dict[str, float] = {}
        self._stopped = threading.Event()
        self._ready = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begins; what exists by now is no news."""
        for target in (self._follow_pods, self._tick_on):
            thread = threading.Thread(target=target, name=f"watch-{target.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wait_ready(self, seconds: float) -> None:
        """Waits until what existed before is known."""
        self._ready.wait(seconds)

    def stop(self, grace: float = 1.0) -> Watched:
        """Ends the watch and tells what was seen.

        Args:
            grace: seconds the last log lines and messages are waited for.
        """
        self._settle(grace)
        self._stopped.set()
        return self.seen()

    def deploying(self, module: str, version: str) -> None:
        """From now on the Deployment of this version counts."""
        with self._lock:
            self._deploying[module] = version

    def deployed(self, module: str) -> None:
        """The engine found it healthy."""
        with self._lock:
            self._deploying.pop(module, None)

    # --- what is seen -------------------------------------------------------------------------------------------------

    def _follow_pods(self) -> None:
        version = ""
        while not self._stopped.is_set():
            try:
                if not version:
                    pods, version = self._source.pods()
                    for facts in pods:
                        self._first_sight(facts)
                    if not self._ready.is_set():
                        self._stalled = self._source.stalled()
                    self._ready.set()
                for gone, facts in self._source.watch_pods(version, _WATCH_SECONDS):
                    if self._stopped.is_set():
                        return
                    self.see(facts, gone)
                version = ""
            except _CLUSTER_ERRORS:
                # The API server may be restarted in the middle of a rollout; the engine decides what that means.
                version = ""
                self._ready.set()
                self._stopped.wait(1.0)

    def _first_sight(self, facts: PodFacts) -> None:
        with self._lock:
            new = facts.name not in self._pods
            # A Job left over from before is history unless it is still going on; and a pod that serves is no news.
            if new and not self._ready.is_set() and (facts.ended or facts.ready):
                self._ignored.add(facts.name)
        self.see(facts, gone=False)

    def see(self, facts: PodFacts, gone: bool) -> None:
        """Takes notice of a pod's state."""
        if facts.kind in APART:
            return  # it is no part of the update; who runs it tells of it
        with self._lock:
            if facts.name in self._ignored:
                return
            if facts.job and facts.name != facts.job:
                self._pods.pop(facts.job, None)  # its pod has been admitted after all
            tracked = self._pods.get(facts.name)
            if gone:
                if tracked:
                    tracked.facts = facts
                    self._news.notify_all()
                return
            if tracked is None:
                tracked = self._pods[facts.name] = _Tracked(facts, self._now())
                changed = True
            else:
                before = tracked.facts
                # A pull that fails alternates between the two names for it.
                if bool(before.patience() is None) != bool(facts.patience() is None):
                    tracked.reason_since = self._now()
                changed = (before.ready, before.reason, before.restarts, before.phase) != (
                    facts.ready,
                    facts.reason,
                    facts.restarts,
                    facts.phase,
                )
                tracked.facts = facts
            self._news.notify_all()
            if facts.kind == "serve":
                if changed and self._counts(facts):
                    siblings = [
                        t.facts
                        for t in self._pods.values()
                        if t.facts.kind == "serve" and self._counts(t.facts) and t.facts.module == facts.module
                    ]
                    self._listener.pod_changed(facts, sum(p.ready for p in siblings), len(siblings))
                return
            if facts.started and tracked.follower is None:
                tracked.follower = threading.Thread(
                    target=self._follow_log, args=(tracked,), name=f"log-{facts.name}", daemon=True
                )
                tracked.follower.start()
            failed = facts.exit_code not in (None, 0) or facts.phase == "Failed"
        if failed and not tracked.told:
            self._tell_failure(tracked)

    def _counts(self, facts: PodFacts) -> bool:
        return not facts.deleted and self._deploying.get(facts.module) == facts.version

    def _follow_log(self, tracked: _Tracked) -> None:
        facts = tracked.facts
        try:
            for line in self._source.follow_log(facts.name, facts.container):
                clean = self._clean(line.rstrip())
                with self._lock:
                    tracked.logs.append(clean)
                    if not self._stopped.is_set():
                        self._listener.job_log(facts, clean)
        except _CLUSTER_ERRORS:
            if not tracked.logs:
                tracked.logs.extend(
                    self._clean(line) for line in self._source.log_tail(facts.name, facts.container, _TAIL_LINES)
                )

    def _tell_failure(self, tracked: _Tracked) -> None:
        # The log's end belongs to the cause; it is there within moments of the container's end.
        if tracked.follower and tracked.follower is not threading.current_thread():
            tracked.follower.join(1.0)
        with self._lock:
            if tracked.told:
                return
            tracked.told = True
            self._listener.job_failed(tracked.facts, self._words(tracked), self._clean(tracked.given_up))

    # --- what is concluded --------------------------------------------------------------------------------------------

    def _tick_on(self) -> None:
        ticks = 0
        while not self._stopped.wait(_TICK_SECONDS):
            ticks += 1
            try:
                self.tick(look_at_deployments=ticks % 4 == 0)
            except _CLUSTER_ERRORS:
                continue

    def tick(self, look_at_deployments: bool = True) -> None:
        """Judges what has lasted too long."""
        if look_at_deployments:
            for missing in self._source.not_admitted():
                self.see(missing, gone=False)
        for tracked in self._hopeless():
            facts = tracked.facts
            if facts.reason == "Unschedulable" and self._source.is_scaling_up(facts.name):
                continue
            why = self._clean(f"{facts.title}: {facts.state}")
            if facts.kind == "serve":
                self._halt(facts.module, why, facts)
            else:
                tracked.given_up = why
                self._listener.given_up(facts, why)
                self._source.end_job(facts.job)
                self._tell_failure(tracked)
        if look_at_deployments:
            with self._lock:
                deploying = dict(self._deploying)
            # What an earlier update left so may come up in this one; the engine waits for it as for a new one.
            stalled = self._source.stalled() if deploying else {}
            for module, version in deploying.items():
                found = stalled.get((module, version))
                if found is None or found == self._stalled.get((module, version)):
                    self._first_stalled.pop(module, None)
                elif self._now() - self._first_stalled.setdefault(module, self._now()) >= found.patience:
                    self._halt(module, self._clean(found.why), None)

    def _hopeless(self) -> list[_Tracked]:
        now = self._now()
        with self._lock:
            return [
                t
                for t in self._pods.values()
                if not t.given_up
                and (patience := t.facts.patience()) is not None
                and now - t.reason_since >= patience
                and (t.facts.kind != "serve" or self._counts(t.facts))
            ]

    def _halt(self, module: str, why: str, facts: PodFacts | None) -> None:
        with self._lock:
            if module in self._halted:
                return
            self._halted[module] = why
        if facts:
            self._listener.given_up(facts, why)
        if self._give_up:
            self._give_up()

    def _settle(self, grace: float) -> None:
        end = self._now() + grace
        for tracked in list(self._pods.values()):
            if tracked.follower and tracked.facts.ended:
                tracked.follower.join(max(0.0, end - self._now()))
        # The engine hears of the Job, we of its pod, and which is first is chance.
        with self._lock:
            while any(t.facts.witness_is_due for t in self._pods.values()) and self._now() < end:
                self._news.wait(end - self._now())

    # --- what was seen ------------------------------------------------------------------------------------------------

    def seen(self) -> Watched:
        """The Jobs and unhealthy pods seen so far."""
        with self._lock:
            tracked = list(self._pods.values())
            halted = dict(self._halted)
            deploying = dict(self._deploying)
        jobs: dict[str, JobReport] = {}
        looks: dict[str, list[database.Database]] = {}
        for each in tracked:
            if each.facts.job:
                jobs[each.facts.job] = self._job_report(each)
                if look := database.parse(each.facts.witness):
                    looks.setdefault(each.facts.job, []).append(look.cleaned(self._clean))
        jobs = {name: replace(job, database=database.together(looks.get(name, ()))) for name, job in jobs.items()}
        pods = {module: self._pod_reports(module, version, tracked) for module, version in deploying.items()}
        return Watched(jobs, {m: p for m, p in pods.items() if p}, halted)

    def _job_report(self, tracked: _Tracked) -> JobReport:
        facts = tracked.facts
        failed = bool(tracked.given_up) or facts.phase == "Failed" or facts.exit_code not in (None, 0)
        words = self._words(tracked) if failed else TerminationMessage()
        return JobReport(facts.job, facts.kind, tuple(tracked.logs), words, tracked.given_up, failed)

    def _words(self, tracked: _Tracked) -> TerminationMessage:
        words = parse(tracked.facts.termination_message, tuple(tracked.logs))
        if not words.message and tracked.facts.exit_code is not None:
            return TerminationMessage(message=f"the container exited with code {tracked.facts.exit_code}")
        return words.cleaned(self._clean)

    def _pod_reports(self, module: str, version: str, tracked: Iterable[_Tracked]) -> tuple[PodReport, ...]:
        reports = []
        for each in tracked:
            facts = each.facts
            if (
                facts.kind == "serve"
                and (facts.module, facts.version) == (module, version)
                and not facts.ready
                and not facts.deleted
            ):
                logs, events = self._asked(facts)
                reports.append(
                    PodReport(
                        facts.name,
                        self._clean(facts.state),
                        facts.ready,
                        facts.restarts,
                        tuple(self._clean(line) for line in logs),
                        tuple(self._clean(e) for e in events[-3:]),
                    )
                )
        return tuple(reports[:4])

    def _asked(self, facts: PodFacts) -> tuple[list[str], list[str]]:
        """The end of a pod's log and its warnings; a cluster that does not answer keeps no verdict back."""
        logs: list[str] = []
        try:
            logs = self._source.log_tail(facts.name, facts.container, 10) if facts.started else []
            return logs, self._source.warnings(facts.name)
        except _CLUSTER_ERRORS:
            return logs, []
