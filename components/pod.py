"""Settings of pods that are the same for every module: the restricted Pod Security Standard.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# What a migration needs is not what the service needs; a change of the service's resources must not change the Job.
JOB_RESOURCES = {"requests": {"cpu": "25m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


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


def literal(arguments: Iterable[str]) -> list[str]:
    """Arguments that the program gets as they are: Kubernetes would replace ``$(NAME)`` in them by a variable, such as a password.

    https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#entrypoint
    """
    return [argument.replace("$", "$$") for argument in arguments]
