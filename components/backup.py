"""A backup as it is planned: the Job that makes one of a module's database, and those that list and restore them.

They are no Pulumi resources. A resource would be made for the version that is deployed already when backups are switched on,
after its migration, and again when a setting of theirs changes; and a destroy would take the volume. A backup is made when a
migration Job is about to be created, and at no other time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from settings import ModuleSettings, S3Settings, Version

from .names import JOB, MODULE, Owner, digest, job_labels, owner_env
from .pod import container_security, job_resources, literal, placed, pod_security

KIND = "backup"
CONTAINER = "backup"
ANNOTATION = "rollout.formance.com/backup"
_FOLDER = "/backups"
# For a container that is told to end. A restore may be about to let the databases change places, which takes up to ten seconds
# where sessions do not leave, and has to say whether it has; or it drops what it had restored.
_GRACE_SECONDS = {"restore": 60}
# What a failed one has said can be read so long.
_KEPT_SECONDS = 3600


@dataclass(frozen=True)
class Backup:
    """What is to be backed up, and where to.

    Args:
        module: name.
        version: that is about to be migrated to.
        settings: of the module.
        env: how to connect to the database.
        migrator_image: that makes backups.
    """

    module: str
    version: Version
    settings: ModuleSettings
    env: Sequence[Mapping[str, Any]]
    migrator_image: str

    @property
    def claim(self) -> str:
        """The claim that holds the module's backups."""
        return f"{self.module}-backups"

    @property
    def database(self) -> str:
        return str(next(e["value"] for e in self.env if e["name"] == "POSTGRES_DATABASE"))

    @property
    def can_be_listed(self) -> bool:
        """Whether backups are of our making; of those that a command makes only its exit code is known."""
        return self.settings.backup in ("pvc", "s3")


def claim(backup: Backup, namespace: str, owner: Owner) -> dict[str, Any] | None:
    """The claim for the module's backups; None where they are kept elsewhere."""
    given = backup.settings.backups
    if backup.settings.backup != "pvc":
        return None
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": given.size}},
    }
    if given.storage_class is not None:
        spec["storageClassName"] = given.storage_class
    labels = {**owner.labels, MODULE: backup.module, JOB: KIND}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": backup.claim, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


@dataclass(frozen=True)
class Place:
    """Where the Jobs run.

    Args:
        namespace: of the stack.
        owner: whose label they carry.
        uid: of the namespace: another cluster's is another, whatever its stacks are called.
    """

    namespace: str
    owner: Owner
    uid: str

    def path(self, backup: Backup, given: S3Settings) -> str:
        """The part of a bucket that holds a module's backups, and nobody else's.

        A stack of one name may be in two clusters, each with a state of its own: who shared a path would take the other's dump that
        is being written for one that was left, count its backups among those to keep, and restore them.
        """
        own = given.path or f"{self.owner.label}/{self.uid}/{backup.database}"
        return "/".join(part for part in (given.bucket, given.prefix, own) if part)


def making(backup: Backup, serving: str, place: Place) -> dict[str, Any]:
    """The Job that makes a backup.

    Args:
        backup: to make.
        serving: label of the version that serves; empty for none.
        place: where it runs.
    """
    target = backup.version.label
    args = ["backup", "--module", backup.module, "--target", target]
    # On the way back to an older version none is removed: it may be the one to restore after it.
    back = bool(serving) and backup.version.is_older_than(Version(serving))
    args += ["--serving", serving, "--keep", str(0 if back else backup.settings.backups.keep)]
    return _job(backup, KIND, args, place)


def listing(backup: Backup, place: Place) -> dict[str, Any]:
    """The Job that lists a module's backups."""
    return _job(backup, "backups", ["backups", "--json"], place)


def restoring(backup: Backup, wanted: str, differences: bool, place: Place) -> dict[str, Any]:
    """The Job that restores one.

    Args:
        backup: of the module.
        wanted: the backup's id.
        differences: take it although it is not what was backed up.
        place: where it runs.
    """
    # Its log ends with its last words: a pod that is deleted takes those of its status with it.
    args = ["restore", "--backup", wanted, "--json"] + (["--accept-differences"] if differences else [])
    return _job(backup, "restore", args, place)


def of_module(module: str, kind: str) -> dict[str, str]:
    """The labels of a module's Jobs of one kind."""
    return {MODULE: module, JOB: kind}


def _job(backup: Backup, kind: str, args: list[str], place: Place) -> dict[str, Any]:
    settings = backup.settings
    given = settings.backups
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": backup.module,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS.get(kind, 10),
        "securityContext": pod_security(settings.run_as_user, settings.run_as_group),
        "containers": [
            {
                "name": CONTAINER,
                **_program(backup, args, place),
                "imagePullPolicy": "IfNotPresent",
                "resources": job_resources(settings, memory=given.memory_limit),
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
        # The root cannot be written to, and what pg_dump and pg_restore say goes through a file.
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}, *_volumes(backup)],
    }
    labels = {**place.owner.labels, **job_labels(backup.module, kind, backup.version)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{backup.module}-{backup.version.slug}-{kind}-{digest(pod)}",
            "namespace": place.namespace,
            "labels": labels,
        },
        "spec": {
            "activeDeadlineSeconds": given.deadline_seconds,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": {**pod, **placed(settings.jobs)}},
        },
    }


def _program(backup: Backup, args: list[str], place: Place) -> dict[str, Any]:
    """What the container runs."""
    tmp = {"name": "tmp", "mountPath": "/tmp"}
    own = [*backup.env, *owner_env(place.owner.label, backup.module)]
    ours = {"image": backup.migrator_image, "env": own, "volumeMounts": [tmp]}
    given = backup.settings.backups
    if backup.settings.backup == "pvc":
        volume = {"name": "backups", "mountPath": _FOLDER}
        return {**ours, "args": literal([*args, "--store", _FOLDER]), "volumeMounts": [tmp, volume]}
    if given.s3 is not None and backup.settings.backup == "s3":
        where = f"s3://{place.path(backup, given.s3)}"
        return {**ours, "args": literal([*args, "--store", where]), "env": [*own, *_of_s3(given.s3)]}
    told = {"BACKUP_MODULE": backup.module, "BACKUP_TARGET": backup.version.label, **given.env}
    env = [{"name": name, "value": value} for name, value in told.items()]
    return {"image": given.image, "command": list(given.command), "env": [*backup.env, *env], "volumeMounts": [tmp]}


def _of_s3(given: S3Settings) -> list[dict[str, Any]]:
    """What S3's clients look for."""
    env: list[dict[str, Any]] = [{"name": "AWS_REGION", "value": given.region}]
    if given.endpoint:
        env.append({"name": "AWS_ENDPOINT_URL", "value": given.endpoint})
    for name, key in (("AWS_ACCESS_KEY_ID", given.access_key_id), ("AWS_SECRET_ACCESS_KEY", given.secret_access_key)):
        if key is not None:
            env.append({"name": name, "valueFrom": {"secretKeyRef": {"name": key.name, "key": key.key}}})
    return env


def _volumes(backup: Backup) -> list[dict[str, Any]]:
    if backup.settings.backup != "pvc":
        return []
    return [{"name": "backups", "persistentVolumeClaim": {"claimName": backup.claim}}]
