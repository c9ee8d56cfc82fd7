"""Puts a worker back that was stopped for a version that does not come up.

A worker runs in one version at a time, so its old pods are gone before the new ones start. Where those do not become ready, the
API goes on in the old version and must not be left without its worker. Pulumi's state is then told what runs, so that its next
update writes the Deployment again, also where it is given the same settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from .steps import Run

READY_SECONDS = 60.0
_LOOK_SECONDS = 0.5


class Deployments(Protocol):
    """What is asked of the cluster."""

    def is_up(self, deployment: str) -> bool: ...

    def put_back(self, deployment: str) -> str | None: ...


def put_back(
    run: Run,
    cluster: Deployments,
    refresh: Callable[[Sequence[str]], str],
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Gives the workers that a failed run changed, and that are not up, the pods they had before.

    Args:
        run: that failed.
        cluster: where they are.
        refresh: tells Pulumi's state what resources of these URNs are; gives why it could not, or nothing.
        now: the clock, in seconds.
        sleep: waits for so many seconds.

    Returns:
        What to say of each.
    """
    changed = {
        s.object_name or s.name: s
        for s in run.steps
        # Begun: the event of an update that failed tells what was there before it.
        if s.phase == "started" and s.part == "worker" and s.op == "update" and s.kind == "Deployment"
    }
    said, written = [], []
    for name, step in changed.items():
        if cluster.is_up(name):
            continue
        before = cluster.put_back(name)
        if before is not None:
            written.append(step.urn)
        said.append(_told(name, step.version, before, cluster, now, sleep))
    if written and (problem := refresh(written)):
        said.append(f"Pulumi's state could not be told of it; run pulumi refresh before the next update: {problem}")
    return said


def _told(
    name: str,
    version: str,
    before: str | None,
    cluster: Deployments,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> str:
    failed = f"Deployment {name}: {version} did not come up"
    if before is None:
        return f"{failed}, and there was none before to put back"
    earlier = before
    if before == version:
        failed, earlier = f"{failed} with its new settings", f"{before} with those before"
    end = now() + READY_SECONDS
    while not cluster.is_up(name):
        if now() > end:
            return f"{failed}; {earlier} was put back and is not ready after {READY_SECONDS:.0f} s"
        sleep(_LOOK_SECONDS)
    return f"{failed}; {earlier} was put back and runs"
