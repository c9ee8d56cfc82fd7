"""Objects and watch events as a cluster gives them, cut down to what is looked at."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
BACKOFF = {
    "type": "Failed",
    "status": "True",
    "reason": "BackoffLimitExceeded",
    "message": "Job has reached the specified backoff limit",
}


def job(uid: str = "j", **status: Any) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "ledger-2-migrate",
            "namespace": "rec",
            "uid": uid,
            "generation": 1,
            "resourceVersion": "1",
        },
        "spec": {},
        "status": status,
    }


def pod(
    owner: str, *, state: Object | None = None, ready: Object | None = None, phase: str = "Running", name: str = "p"
) -> Object:
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Initialized", "status": "True"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "rec",
            "uid": f"uid-{name}",
            "ownerReferences": [{"kind": "ReplicaSet", "uid": owner}],
        },
        "status": {
            "phase": phase,
            "conditions": [*conditions, *([{"type": "Ready", **ready}] if ready else [])],
            "containerStatuses": [{"name": "c", "ready": False, "state": state or {}}],
        },
    }


UNREADY = {"status": "False", "reason": "ContainersNotReady", "message": "containers with unready status: [c]"}


def deployment(generation: int = 1, revision: str = "1", **status: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "ledger-2", "namespace": "rec", "uid": "d", "generation": generation, "resourceVersion": "1",
            "annotations": {"deployment.kubernetes.io/revision": revision} if revision else {},
        },
        "spec": {"replicas": 1, "template": {"spec": {}}},
        "status": status,
    }  # fmt: skip


def replica_set(revision: str, replicas: int, ready: int) -> Object:
    return {
        "metadata": {
            "name": f"rs-{revision}", "uid": f"rs-{revision}", "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"kind": "Deployment", "uid": "d"}],
        },
        "spec": {"replicas": replicas},
        "status": {"readyReplicas": ready} if ready else {},
    }  # fmt: skip
