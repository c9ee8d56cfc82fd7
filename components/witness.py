"""The sidecar that looks at the database before and after a migration, whatever image migrates.

A native sidecar (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/, Kubernetes 1.29): started before
the migration's container, told by SIGTERM once that has ended, and its end does not count for the Job's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from settings import ModuleSettings

from .pod import container_security, job_resources

NAME = "witness"
_FOLDER = "/witness"
# The kubelet begins the next container when the hook has ended. A startupProbe would do too, but asks once a second only.
# It ends by itself, so that a witness that hangs cannot keep the migration from beginning.
_WAIT = f"""import os, time
for _ in range(1500):
    if os.path.exists("{_FOLDER}/ready"): break
    time.sleep(0.02)"""


def witness(image: str, settings: ModuleSettings, env: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The init container and its volume, as parts of a pod's spec.

    Args:
        image: of the migrator.
        settings: of the module.
        env: of the migration's container, for the database.
    """
    return {
        "initContainers": [
            {
                "name": NAME,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "restartPolicy": "Always",
                "args": ["witness", "--folder", _FOLDER],
                "env": list(env),
                "lifecycle": {"postStart": {"exec": {"command": ["python3", "-S", "-E", "-c", _WAIT]}}},
                "volumeMounts": [{"name": NAME, "mountPath": _FOLDER}],
                "resources": {
                    **job_resources(settings, memory="256Mi"),
                    "requests": {"cpu": "10m", "memory": "32Mi"},
                },
                "securityContext": container_security(),
            }
        ],
        "volumes": [{"name": NAME, "emptyDir": {"sizeLimit": "64Mi"}}],
    }
