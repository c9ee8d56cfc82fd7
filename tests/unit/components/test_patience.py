"""How long a pod may wait, for every reader of pods alike; the messages are those of kubelets and containerd."""

from __future__ import annotations

import pytest

from automation.pods import observe
from components.patience import patience
from tests.unit.automation.test_pods import container, pod


@pytest.mark.parametrize(
    ("reason", "message", "seconds"),
    [
        ("", "", None),
        ("ContainerCreating", "", None),
        ("PodInitializing", "", None),
        ("CrashLoopBackOff", "back-off 10s restarting failed container", None),
        ("InvalidImageName", "couldn't parse image name", 0),
        ("ErrImageNeverPull", "Container image is not present with pull policy of Never", 0),
        ("ImagePullBackOff", "Back-off pulling image", 9),
        ("CreateContainerConfigError", 'secret "x" not found', 6),
        # Nothing that a second try would find: the program is not in the image.
        ("RunContainerError", 'exec: "nope": executable file not found in $PATH', 6),
        ("CreateContainerError", "failed to generate container spec: no command specified", 6),
        # A node under load, which tries again.
        ("CreateContainerError", "context deadline exceeded", 90),
        ("CreateContainerError", 'failed to reserve container name "x": name "x" is reserved for "1f"', 90),
        ("RunContainerError", "rpc error: code = DeadlineExceeded desc = context deadline exceeded", 90),
        ("Unschedulable", "0/1 nodes are available", 10),
        ("SomethingOfANewKubelet", "", 30),
    ],
)
def test_what_no_waiting_heals_is_final_soon_and_what_passes_is_waited_for(
    reason: str, message: str, seconds: float | None
) -> None:
    assert patience(reason, message) == seconds
    waiting = pod(
        {"phase": "Pending", "containerStatuses": [container({"waiting": {"reason": reason, "message": message}})]}
    )
    if reason not in ("", "Unschedulable"):
        assert observe(waiting).patience() == seconds, "a rollout's pods have the same table"


def test_a_claims_first_pod_waits_for_its_volume() -> None:
    assert patience("Unschedulable", "pod has unbound immediate PersistentVolumeClaims", volume=True) == 120
