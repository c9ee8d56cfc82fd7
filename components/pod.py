"""Settings of pods that are the same for every module: the restricted Pod Security Standard.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from settings import JobSettings, ModuleSettings
from settings.module import Toleration

# Of what is this project's own in Jobs: it makes databases, looks at them, copies them.
JOB_RESOURCES: dict[str, dict[str, str]] = {
    "requests": {"cpu": "25m", "memory": "64Mi"},
    "limits": {"memory": "512Mi"},
}


def job_resources(settings: ModuleSettings, **limits: str) -> dict[str, dict[str, str]]:
    """What this project's own containers in a module's Jobs get.

    Args:
        settings: of the module. Where its migration has a limit of CPU, they have it too: a quota for CPU admits no pod of which one
            container has none.
        limits: other than usual.
    """
    cpu = settings.migration.resources.limits.get("cpu")
    return {**JOB_RESOURCES, "limits": {**JOB_RESOURCES["limits"], **({"cpu": cpu} if cpu else {}), **limits}}


def pod_security(user: int, group: int | None = None) -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group or user,
        "fsGroup": group or user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def tolerated(tolerations: Sequence[Toleration]) -> list[dict[str, Any]]:
    """Tolerations as Kubernetes has them."""
    return [t.model_dump(by_alias=True, exclude_none=True) for t in tolerations]


def placed(jobs: JobSettings) -> dict[str, Any]:
    """What a Job's pod says of the nodes it may run on. It is no part of what the Job does, and so of no Job's name."""
    pod: dict[str, Any] = {}
    if jobs.node_selector:
        pod["nodeSelector"] = dict(jobs.node_selector)
    if jobs.tolerations:
        pod["tolerations"] = tolerated(jobs.tolerations)
    return pod


def literal(arguments: Iterable[str]) -> list[str]:
    """Arguments that the program gets as they are: Kubernetes would replace ``$(NAME)`` in them by a variable, such as a password.

    https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#entrypoint
    """
    return [argument.replace("$", "$$") for argument in arguments]
