"""Puts a worker back that was stopped for a version that does not come up.

A worker runs in one version at a time, so its old pods are gone before the new ones start. Where those do not become ready, the
API goes on in the old version and must not be left without its worker. Pulumi's state keeps what was wanted, with an error; its
next update writes the Deployment again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Gives the workers that a failed run changed, and that are not up, the pods they had before.

    Returns:
        What to say of each.
    """
    changed = {
        s.object_name or s.name: s
        for s in run.steps
        if s.part == "worker" and s.op == "update" and s.kind == "Deployment"
    }
    return [_told(name, step.version, cluster, now, sleep) for name, step in changed.items() if not cluster.is_up(name)]


def _told(
    name: str, version: str, cluster: Deployments, now: Callable[[], float], sleep: Callable[[float], None]
) -> str:
    before = cluster.put_back(name)
    if before is None:
        return f"Deployment {name}: {version} did not come up, and there was none before to put back"
    end = now() + READY_SECONDS
    while not cluster.is_up(name):
        if now() > end:
            return f"Deployment {name}: {version} did not come up; {before} was put back and is not ready after {READY_SECONDS:.0f} s"
        sleep(_LOOK_SECONDS)
    return f"Deployment {name}: {version} did not come up; {before} was put back and runs"
