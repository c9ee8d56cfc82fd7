"""Drops the databases of a stack that is destroyed with them: nothing but a destroy that was asked to can do it.

It happens when Pulumi deletes the Job that has made a database. By then all that used it is gone, the credentials are not, and if
it fails the destroy halts there and can be run again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import NotDropped
from .following import JobCluster, run_job
from .names import JOB, MODULE, MODULE_DATABASE, OWNER, digest, job_labels, owner_env

KIND = "drop-database"
# What a failed one has said can be read so long.
_KEPT_SECONDS = 3600


class DropCluster(JobCluster, Protocol):
    """What dropping a database needs of the cluster."""

    def forget_migrated(self, module: str) -> None:
        """Removes the record of the version that a module's database was migrated to."""


class Listener(Protocol):
    """Told what is dropped, from several threads."""

    def dropping(self, module: str, text: str) -> None: ...
    def dropped(self, module: str, database: str) -> None: ...


@dataclass
class Drops:
    """The databases that one destroy drops.

    Args:
        cluster: where their servers can be reached from.
        listener: told of each.
    """

    cluster: DropCluster
    listener: Listener | None = None

    def before_delete(self, maker: Mapping[str, Any]) -> None:
        """Drops the database that a Job has made; does nothing for any other Job.

        Args:
            maker: the Job's manifest.

        Raises:
            NotDropped: the database is still there.
        """
        labels = maker["metadata"]["labels"]
        if labels[JOB] != MODULE_DATABASE:
            return
        module, job = labels[MODULE], dropping(maker)
        name, database = job["metadata"]["name"], _database(maker)
        if self.listener:
            self.listener.dropping(module, f"dropping database {database}: Job {name}")
        alike = job_labels(module, KIND)
        ended = run_job(self.cluster, job, alike)
        if not ended.ok:
            raise NotDropped(module, database, name, ended.words)
        self.cluster.forget_migrated(module)
        if self.listener:
            self.listener.dropped(module, database)


def dropping(maker: Mapping[str, Any]) -> dict[str, Any]:
    """The Job that drops what another has made: the same image, account and credentials.

    Args:
        maker: manifest of the Job that has made the database, as a hook is given it: its whole numbers may be floats.
    """
    maker = json.loads(json.dumps(maker), parse_float=lambda digits: int(float(digits)))
    metadata, spec = maker["metadata"], maker["spec"]
    pod = dict(spec["template"]["spec"])
    [container] = pod["containers"]
    labels = {**metadata["labels"], JOB: KIND}
    # A maker of an earlier version's does not say whose the database is.
    owner = owner_env(labels[OWNER], labels[MODULE])
    env = [*(e for e in container["env"] if e not in owner), *owner]
    pod["containers"] = [{**container, "name": KIND, "args": [KIND], "env": env}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{labels[MODULE]}-{KIND}-{digest(pod)}",
            "namespace": metadata["namespace"],
            "labels": labels,
        },
        "spec": {
            "activeDeadlineSeconds": spec["activeDeadlineSeconds"],
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _database(maker: Mapping[str, Any]) -> str:
    [container] = maker["spec"]["template"]["spec"]["containers"]
    return str(next(e["value"] for e in container["env"] if e["name"] == "POSTGRES_DATABASE"))
