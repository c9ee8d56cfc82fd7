"""How long a pod may wait for what keeps it from starting, before that counts as final. The one table for all that follow pods.

A registry that hiccups answers the second pull; a Secret made in the same second is there at the kubelet's next try; a name
that cannot be one never heals. The kubelet tries again by itself, so to wait is safe, and too long a wait hides the cause.
"""

from __future__ import annotations

import re

_SECONDS: dict[str, float | None] = {
    "": None,
    "ContainerCreating": None,
    "PodInitializing": None,
    "CrashLoopBackOff": None,  # it has run, and what it has said counts
    "Completed": None,
    "InvalidImageName": 0.0,
    "ErrImageNeverPull": 0.0,
    "ErrImagePull": 9.0,
    "ImagePullBackOff": 9.0,
    "ImageInspectError": 9.0,
    "RegistryUnavailable": 9.0,
    "CreateContainerConfigError": 6.0,
    "CreateContainerError": 6.0,
    "RunContainerError": 6.0,
    "PreCreateHookError": 6.0,
    "Unschedulable": 10.0,
    # A quota may have room again in a moment, and a webhook be there again.
    "FailedCreate": 10.0,
}
# A node under load does not manage a container in its time, and tries again; and for the while has the name of the first try
# reserved. Every other reason for which a container is not made, such as a program that is not in the image, stays.
_BUSY_SECONDS = 90.0
_OF_A_BUSY_NODE = re.compile(r"context deadline exceeded|DeadlineExceeded|is reserved for|already reserved|try again")
# A reason of which nothing is known here.
_UNKNOWN_SECONDS = 30.0
# A claim's volume may have to be made first, and a node for it.
_VOLUME_SECONDS = 120.0


def patience(reason: str, message: str = "", *, volume: bool = False) -> float | None:
    """Seconds for which a pod may wait for a reason.

    Args:
        reason: as its status has it, such as ErrImagePull.
        message: beside it.
        volume: whether the pod has a claim that waits for its first pod.

    Returns:
        The seconds; None while it is being started.
    """
    if reason == "Unschedulable" and volume:
        return _VOLUME_SECONDS
    if reason in ("CreateContainerError", "RunContainerError") and _OF_A_BUSY_NODE.search(message):
        return _BUSY_SECONDS
    return _SECONDS.get(reason, _UNKNOWN_SECONDS)
