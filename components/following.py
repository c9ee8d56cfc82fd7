"""Runs a Job that is no resource of the stack to its end: one pod with one container, whose last words are what counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .rehearsing import PodState

# A pod that cannot start its container for so long never will: a registry answers the second pull.
PATIENCE_SECONDS = 9.0
# A claim's volume may have to be made first, and a node for it.
SCHEDULING_SECONDS = 120.0
# Until what is left of an earlier Job has gone.
SLACK_SECONDS = 60.0
_WAITS = ("", "ContainerCreating", "PodInitializing")


class JobCluster(Protocol):
    """What running a Job needs of the cluster."""

    def clear_jobs(self, labels: Mapping[str, str], seconds: float) -> None:
        """Deletes what is left of earlier Jobs and waits until it is gone."""

    def create_job(self, job: Mapping[str, Any]) -> None: ...
    def follow(self, job: str) -> Iterator[PodState | str]: ...
    def tail(self, pod: str, container: str) -> list[str]: ...


@dataclass(frozen=True)
class Ended:
    """How a Job came out.

    Args:
        ok: its container ended with 0.
        words: its last words, or why it has none.
        logs: the end of its log.
        seconds: it took.
    """

    ok: bool
    words: str
    logs: tuple[str, ...] = ()
    seconds: float = 0.0


def run_job(
    cluster: JobCluster,
    job: Mapping[str, Any],
    alike: Mapping[str, str],
    *,
    now: Callable[[], float] = time.monotonic,
    stopped: Callable[[], bool] = lambda: False,
) -> Ended:
    """Creates a Job and follows it to its end.

    Args:
        cluster: where.
        job: its manifest.
        alike: labels of Jobs of which only one may be at work; earlier ones are removed first.
        now: the clock, in seconds.
        stopped: asked whether somebody wants an end; the Job is then removed.
    """
    begun = now()
    name = job["metadata"]["name"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    cluster.clear_jobs(alike, SLACK_SECONDS)
    cluster.create_job(job)
    stuck: tuple[str, float] | None = None

    def ended(ok: bool, words: str, pod: str = "") -> Ended:
        logs = tuple(cluster.tail(pod, container["name"])) if pod else ()
        return Ended(ok, words, logs, now() - begun)

    for state in cluster.follow(name):
        if stopped():
            cluster.clear_jobs(alike, SLACK_SECONDS)
            return ended(False, "interrupted; its Job was removed")
        if isinstance(state, str):
            return ended(False, state)
        for each in state.containers:
            if each.exit_code is not None:
                return ended(each.exit_code == 0, each.message, state.name)
        if state.gone or state.reason:
            within = job["spec"]["activeDeadlineSeconds"]
            why = f"it did not end within {within} s, or its pod was removed"
            return ended(False, why + (f" ({state.reason})" if state.reason else ""))
        waiting = [(c.name, *c.waiting) for c in state.containers if c.waiting[0] not in _WAITS]
        if not waiting:
            stuck = None
            continue
        where, reason, text = waiting[0]
        if stuck is None or stuck[0] != where:
            stuck = (where, now())
        elif now() - stuck[1] > (SCHEDULING_SECONDS if reason == "Unschedulable" else PATIENCE_SECONDS):
            cluster.clear_jobs(alike, SLACK_SECONDS)
            return ended(False, f"its pod cannot start: {reason}: {text}")
    return ended(False, "the cluster told nothing more of it")
