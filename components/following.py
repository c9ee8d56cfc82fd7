"""Runs a Job that is no resource of the stack to its end: one pod with one container, whose last words are what counts."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from .foreign_text import one_line
from .patience import patience
from .rehearsing import PodState

# Until what is left of an earlier Job has gone.
SLACK_SECONDS = 90.0
# A log is whole soon after its container's end.
_LOG_SECONDS = 3.0
_LINES = 20
# A node may refuse a pod that the scheduler has sent to it, because others have come first; the next one may find room.
_ATTEMPTS = 3
# How often it is said that a container does not run yet.
_TELL_SECONDS = 5.0


class JobCluster(Protocol):
    """What running a Job needs of the cluster."""

    def clear_jobs(self, labels: Mapping[str, str], seconds: float) -> None:
        """Deletes what is left of earlier Jobs and waits until it is gone."""

    def create_job(self, job: Mapping[str, Any]) -> None: ...
    def end_job(self, job: str) -> None:
        """Deletes a Job: its container is told to end, and has its time to."""

    def follow(self, job: str) -> Iterator[PodState | str]: ...
    def log(self, pod: str, container: str) -> Iterator[str]:
        """The lines of a container's log as they come, until it ends."""

    def tail(self, pod: str, container: str) -> list[str]: ...


@dataclass(frozen=True)
class Ended:
    """How a Job came out.

    Args:
        ok: its container ended with 0.
        words: its last words, or why it has none.
        logs: the end of its log.
        seconds: it took.
        stopped: somebody wanted an end, and nothing of it is at work any more.
        began: its container has run.
    """

    ok: bool
    words: str
    logs: tuple[str, ...] = ()
    seconds: float = 0.0
    stopped: bool = False
    began: bool = True


def run_job(
    cluster: JobCluster,
    job: Mapping[str, Any],
    alike: Mapping[str, str],
    *,
    now: Callable[[], float] = time.monotonic,
    stopped: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda _line: None,
) -> Ended:
    """Creates a Job and follows it to its end.

    Args:
        cluster: where.
        job: its manifest.
        alike: labels of Jobs of which only one may be at work; earlier ones are removed first.
        now: the clock, in seconds.
        stopped: asked whether somebody wants an end; the Job is then deleted, and its container's end awaited.
        tell: given its log, line by line, from another thread; and why it does not run yet.
    """
    begun = now()
    ended = Ended(False, "")
    for _ in range(_ATTEMPTS):
        if stopped():
            return Ended(False, "", seconds=now() - begun, stopped=True, began=False)
        cluster.clear_jobs(alike, SLACK_SECONDS)
        cluster.create_job(job)
        following = _Following(cluster, job, now, stopped, tell)
        ended = following.end(begun)
        if not following.refused:
            break
    return ended


class _Following:
    """One Job that has been created."""

    def __init__(
        self,
        cluster: JobCluster,
        job: Mapping[str, Any],
        now: Callable[[], float],
        stopped: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> None:
        self._cluster, self._now, self._stopped, self._tell = cluster, now, stopped, tell
        self._name = str(job["metadata"]["name"])
        self._seconds = job["spec"]["activeDeadlineSeconds"]
        [container] = job["spec"]["template"]["spec"]["containers"]
        self._log = _Log(cluster, container["name"], tell)
        self._stopping = False
        self._stuck: tuple[str, float] | None = None
        self._begun = self._told = now()
        self.refused = False

    def end(self, begun: float) -> Ended:
        """Follows it to its end."""
        ended = Ended(False, "the cluster told nothing more of it")
        for state in self._cluster.follow(self._name):
            if self._stopped() and not self._stopping:
                self._stopping = True
                self._cluster.end_job(self._name)
            found = Ended(False, state) if isinstance(state, str) else self._seen(state)
            if found is not None:
                ended = found
                break
        logs = self._log.whole() or ended.logs
        stopped = self._stopping and not ended.ok
        return Ended(ended.ok, ended.words, logs, self._now() - begun, stopped, self._log.begun)

    def _seen(self, state: PodState) -> Ended | None:
        """How it ended, from what its pod is like; None while it goes on."""
        if any(each.running for each in state.containers):
            self._log.begin(state.name)
        for each in state.containers:
            if each.exit_code is not None:
                self._log.begin(state.name)
                logs = () if self._log.whole() else tuple(self._cluster.tail(state.name, each.name))
                return Ended(each.exit_code == 0, each.message, logs)
        if self._stopping:
            # Its last words went with the pod; its log may have them. A Job that is being deleted makes no pod any more.
            at_end = state.gone or state.reason or not state.name
            return Ended(False, (self._log.whole() or ("",))[-1]) if at_end else None
        if state.gone or state.reason:
            self.refused = state.reason.startswith(("OutOf", "UnexpectedAdmission")) and not self._log.begun
            why = f"it did not end within {self._seconds} s, or its pod was removed"
            return Ended(False, why + (f" ({one_line(state.reason)})" if state.reason else ""))
        return self._waits(state)

    def _waits(self, state: PodState) -> Ended | None:
        """Whether it waits for what will not come."""
        if not self._log.begun and (now := self._now()) - self._told > _TELL_SECONDS:
            self._told = now
            self._tell(f"its pod does not run yet, {now - self._begun:.0f} s so far")
        found = next(
            ((c, limit) for c in state.containers if (limit := patience(*c.waiting, volume=True)) is not None), None
        )
        if found is None:
            self._stuck = None
            return None
        container, limit = found
        # One line, so that nothing in it is taken for the container's own message.
        why = one_line(": ".join(container.waiting))
        if self._stuck is None or self._stuck[0] != container.name:
            self._stuck = (container.name, self._now())
            self._tell(f"its pod waits: {why}")
        if self._now() - self._stuck[1] < limit:
            return None
        self._cluster.end_job(self._name)
        return Ended(False, f"its pod cannot start: {why}")


class _Log:
    """Reads a container's log as it comes."""

    def __init__(self, cluster: JobCluster, container: str, tell: Callable[[str], None]) -> None:
        self._cluster, self._container, self._tell = cluster, container, tell
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._thread: threading.Thread | None = None

    @property
    def begun(self) -> bool:
        return self._thread is not None

    def begin(self, pod: str) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, args=[pod], name="log", daemon=True)
            self._thread.start()

    def whole(self) -> tuple[str, ...]:
        """The last lines, of a container that has ended."""
        if self._thread:
            self._thread.join(_LOG_SECONDS)
        return tuple(self._lines)

    def _read(self, pod: str) -> None:
        with suppress(Exception):  # the Job's end is told by its pod; without its log there is less to read
            for line in self._cluster.log(pod, self._container):
                self._lines.append(line)
                self._tell(line)
