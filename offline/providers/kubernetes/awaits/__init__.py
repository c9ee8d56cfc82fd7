"""What it means for each kind to be ready. Kinds not listed are ready once they exist."""

from __future__ import annotations

from .base import Await, NotReady, Status, until, until_gone
from .deployment import DeploymentReady
from .job import JobComplete, complete
from .pod import PodReady
from .service import IngressReady, ServiceReady
from .simple import (
    ClaimBound,
    Custom,
    DaemonSetReady,
    WaitForError,
    When,
    phase,
    quota_observed,
    replicas_available,
    service_account_token,
)
from .statefulset import StatefulSetReady

AWAITS: dict[tuple[str, str], type[Await]] = {
    ("apps/v1", "DaemonSet"): DaemonSetReady,
    ("apps/v1", "Deployment"): DeploymentReady,
    ("apps/v1", "StatefulSet"): StatefulSetReady,
    ("batch/v1", "Job"): JobComplete,
    ("networking.k8s.io/v1", "Ingress"): IngressReady,
    ("v1", "PersistentVolume"): When.of(lambda o: phase(o) in ("Available", "Bound")),
    ("v1", "PersistentVolumeClaim"): ClaimBound,
    ("v1", "Pod"): PodReady,
    ("v1", "ReplicationController"): When.of(replicas_available),
    ("v1", "ResourceQuota"): When.of(quota_observed),
    ("v1", "Secret"): When.of(service_account_token),
    ("v1", "Service"): ServiceReady,
}

# A read waits for nothing; these kinds are then looked at as they are, and what is wrong goes to the state.
READ = ("DaemonSet", "Deployment", "StatefulSet", "Job", "Ingress", "Pod", "Service")

# Kinds whose deletion is not awaited with skipAwait; all others' is (a quirk of the real provider that programs may rely on).
SKIP_DELETION = ("Namespace", "Pod", "ReplicationController", "DaemonSet", "Deployment", "StatefulSet", "Job")

__all__ = [
    "AWAITS",
    "READ",
    "SKIP_DELETION",
    "Await",
    "Custom",
    "NotReady",
    "Status",
    "WaitForError",
    "complete",
    "until",
    "until_gone",
]
