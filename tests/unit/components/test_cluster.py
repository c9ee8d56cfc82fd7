"""What the guards read of the cluster, and what their client must survive: being used first by several threads at once."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from components.cluster import LiveCluster
from components.errors import MigrationRunning
from components.guards import Rules
from tests.unit.components.api import Api
from tests.unit.components.declared import OWNER
from tests.unit.components.test_guards import Clock, job

# Without prepare_types() 21 of 25 such processes died of a segmentation fault (lightkube 1.0.1, msgspec 0.22).
AT_ONCE = """
import sys, threading
from lightkube import KubeConfig
from components.cluster import prepare_types

prepare_types()
sys.setswitchinterval(1e-6)
config = {
    "clusters": [{"name": "a", "cluster": {"server": "x", "certificate-authority": "y"}}],
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    "users": [{"name": "a", "user": {"client-certificate": "x", "exec": {"apiVersion": "a", "command": "b"}}}],
}
barrier = threading.Barrier(6)

def read():
    barrier.wait()
    KubeConfig.from_dict(config)

threads = [threading.Thread(target=read) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.slow
def test_a_kubeconfig_is_read_by_several_threads_at_once() -> None:
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def other_job(status: dict[str, Any] | None, *, suspended: bool = False, deleted: bool = False) -> dict[str, Any]:
    """The migration Job of another version than the one that `job` is about to create."""
    labels = {"rollout.formance.com/module": "ledger", "rollout.formance.com/job": "migrate"}
    metadata: dict[str, Any] = {"name": "ledger-1-0-0-migrate-y", "labels": labels}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    spec = {"activeDeadlineSeconds": 10, "backoffLimit": 2, "suspend": suspended, "template": {}}
    return {"kind": "Job", "metadata": metadata, "spec": spec, **({"status": status} if status is not None else {})}


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status}]}


@pytest.mark.parametrize(
    "other",
    [
        other_job(None),
        other_job({}),
        other_job({"active": 1}),
        other_job({"failed": 1, "startTime": "2026-01-02T03:04:05Z"}),
        other_job({"failed": 1, **condition("Failed", "False")}),
        other_job({"terminating": 1, **condition("FailureTarget")}),
        other_job({"active": 1}, suspended=True),
        other_job({"active": 1}, deleted=True),
        other_job({"terminating": 1}, deleted=True),
    ],
    ids=[
        "just created", "not seen by its controller", "has a pod", "waits to start the next pod", "failed no more",
        "its last pod ends", "suspended with a pod", "deleted with a pod", "deleted and its pod ends",
    ],
)  # fmt: skip
def test_a_job_runs_until_it_has_succeeded_or_failed(api: Api, live: LiveCluster, other: dict[str, Any]) -> None:
    api.objects = [other]
    clock = Clock()
    assert live.is_active("ledger-1-0-0-migrate-y")
    with pytest.raises(MigrationRunning, match="ledger-1-0-0-migrate-y"):
        Rules(live, OWNER, clock.now, clock.sleep).one_migration_at_a_time(job())


@pytest.mark.parametrize(
    "other",
    [
        other_job({"succeeded": 1, **condition("Complete")}),
        other_job({"failed": 3, **condition("Failed")}),
        other_job(condition("Suspended"), suspended=True),
        other_job({"failed": 1}, deleted=True),
    ],
    ids=["succeeded", "failed", "suspended without a pod", "deleted without a pod"],
)
def test_a_job_that_ended_or_starts_no_pod_any_more_does_not_run(
    api: Api, live: LiveCluster, other: dict[str, Any]
) -> None:
    api.objects = [other]
    assert not live.is_active("ledger-1-0-0-migrate-y")
    assert live.running_jobs("ledger", "migrate") == []


def test_a_job_that_is_gone_does_not_run(live: LiveCluster) -> None:
    assert not live.is_active("ledger-1-0-0-migrate-y")
