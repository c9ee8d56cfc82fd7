"""What it means for each kind to be ready. Kinds not listed are ready once they exist."""

from __future__ import annotations

from .base import Await, NotReady, Status, until, until_gone
from .deployment import DeploymentReady
from .job import JobComplete, complete
from .pod import PodReady
from .service import ServiceReady
from .statefulset import StatefulSetReady

AWAITS: dict[str, type[Await]] = {
    "Deployment": DeploymentReady,
    "Job": JobComplete,
    "Pod": PodReady,
    "Service": ServiceReady,
    "StatefulSet": StatefulSetReady,
}

# Kinds that the real provider waits for and this one does not: they are made only with skipAwait.
NOT_COVERED = ("Ingress", "PersistentVolumeClaim")

# Kinds whose deletion is not awaited with skipAwait; all others' is (a quirk of the real provider that programs may rely on).
SKIP_DELETION = ("Namespace", "Pod", "Deployment", "StatefulSet", "Job")

__all__ = ["AWAITS", "NOT_COVERED", "SKIP_DELETION", "Await", "NotReady", "Status", "complete", "until", "until_gone"]
