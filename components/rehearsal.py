"""A rehearsal as it is planned: the Job that tries a migration on a scratch database, with the serving version at work on it.

As in reality, the serving version runs before, while and after the schema changes. One pod, whose containers start one
after the other:

1. ``hold``      a sidecar that asks the serving version all the while, and drops the scratch database when the pod ends
2. ``prepare``   makes the scratch database beside the real one, fills it with its schema, and looks at the statements in use
3. ``previous``  the version that serves, as its Deployment runs it now, on the scratch database; a sidecar, and left out for
                 modules that would take from the real queues there
4. ``warm``      waits until that is up, and has it open its connections and prepare its statements
5. ``migrate``   the new image's real migration, with POSTGRES_DATABASE naming the scratch database
6. ``judge``     compares the scratch database with before, asks the version that ran through it, and has that restarted

To restart it, ``hold`` lets the liveness probe of ``previous`` fail: whatever the image, the kubelet then does what it would
do to a pod that is lost.

It is no Pulumi resource: it would have to be deleted after the update that made it. It ends by its deadline, and
Kubernetes removes it (``ttlSecondsAfterFinished``).
"""

from __future__ import annotations

import base64
import json
import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from settings import CompatibilitySettings, ModuleSettings, Version, scratch_name

from .errors import StatementsTooLong
from .names import JOB, MODULE, NAME, VERSION, Owner, digest, job_labels, owner_env
from .pod import container_security, job_resources, literal, placed, pod_security

KIND = "rehearse"
_FOLDER = "/rehearsal"
_KEPT_SECONDS = 600
# What of the serving version's container is its program; its probes and hooks are the Deployment's business.
_PROGRAM = (
    "image",
    "imagePullPolicy",
    "command",
    "args",
    "workingDir",
    "envFrom",
    "ports",
    "resources",
    "volumeMounts",
)
# Of an environment variable of the kernel's (MAX_ARG_STRLEN), with room for its name.
_LONGEST_STATEMENTS = 120_000
# The kubelet cuts the termination messages of a pod's containers to this many bytes together, an equal part for each.
_MESSAGES, _CONTAINERS = 12 * 1024, 6
# Where `hold` answers the liveness probe of `previous`; another, should the module itself have a port of that number.
_ALIVE_PORTS = (61_731, 61_732, 61_733, 61_734)
_VOLUMES = ("configMap", "secret", "emptyDir", "projected", "downwardAPI")


@dataclass(frozen=True)
class Serving:
    """The version that serves, as it runs now.

    Args:
        version: its label.
        pod: the spec of its Deployment's pods.
        ready: at least one of them is. A version of which none is may serve again in a moment, and what breaks it is refused; but it
            is not started in the rehearsal, where it could only refuse the update that repairs it.
    """

    version: str
    pod: Mapping[str, Any]
    ready: bool = True

    def container(self, module: str) -> Mapping[str, Any]:
        """The module's container."""
        containers = self.pod["containers"]
        return next((c for c in containers if c["name"] == module), containers[0])

    def health(self, module: str) -> tuple[int, str]:
        """Port and path of its readiness probe; an empty path where it has none by HTTP."""
        container = self.container(module)
        ports = container.get("ports") or []
        http = (container.get("readinessProbe") or {}).get("httpGet") or {}
        port = http.get("port", ports[0]["containerPort"] if ports else 8080)
        if isinstance(port, str):
            port = next((p["containerPort"] for p in ports if p.get("name") == port), 8080)
        return int(port), str(http.get("path", ""))


@dataclass(frozen=True)
class Trial:
    """What is to be rehearsed.

    Args:
        module: name.
        version: to migrate to.
        settings: of the module.
        container: of the migration Job: image, arguments, environment.
        migrator_image: for the other containers.
        serves: whether the serving version is started beside it.
        compatibility: what refuses.
        digits: of the scratch database's name, so that it is nobody else's.
    """

    module: str
    version: Version
    settings: ModuleSettings
    container: Mapping[str, Any]
    migrator_image: str
    serves: bool = True
    compatibility: CompatibilitySettings = field(default_factory=CompatibilitySettings)
    digits: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def database(self) -> str:
        return str(next(e["value"] for e in self.container["env"] if e["name"] == "POSTGRES_DATABASE"))

    @property
    def scratch(self) -> str:
        """The scratch database: beside the real one and named after it."""
        return scratch_name(self.database, "rehearsal", self.digits)

    def contracts(self, serving: str) -> bool:
        """Whether what older versions used may be removed: all of them are gone, by the settings."""
        since = self.settings.contract_since
        if since is None or Version(since).semantic is None or Version(serving).semantic is None:
            return False
        return not Version(serving).is_older_than(Version.parse(since))


def manifest(trial: Trial, serving: Serving, namespace: str, owner: Owner) -> dict[str, Any]:
    """The rehearsal's Job."""
    settings = trial.settings
    env = list(trial.container["env"])
    ours = [*_database(env), {"name": "SCRATCH_DATABASE", "value": trial.scratch}]
    ours += owner_env(owner.label, trial.module)
    ours.append({"name": "TERMINATION_LIMIT", "value": str(_MESSAGES // _CONTAINERS)})
    port, health = serving.health(trial.module)
    folder = {"name": "rehearsal", "mountPath": _FOLDER}
    in_folder = ["--folder", _FOLDER]
    prepare = ["rehearse-prepare", *in_folder, "--mode", settings.rehearse]
    limit = settings.rehearsal.sample_rows if settings.rehearse == "sample" else settings.rehearsal.copy_bytes
    prepare += ["--limit", str(limit)]
    prepare += [option for table in settings.rehearsal.tables for option in ("--table", table)]
    listed = _statements(trial)
    started = trial.serves and serving.ready
    alive = _alive_port(serving, trial.module)
    probes = json.dumps([r.model_dump() for r in settings.rehearsal.requests])
    asked = ["--previous", serving.version, "--port", str(port), "--health", health, "--probes", probes]
    asked += [] if started else ["--not-started"]
    hold = ["rehearse-hold", *in_folder, *asked, "--alive-port", str(alive)]
    warm = ["rehearse-warm", *in_folder, *asked, "--seconds", str(settings.progress_deadline_seconds)]
    judge = ["rehearse-judge", *in_folder, *asked, "--target", trial.version.label, "--policy", _policy(trial)]
    judge += ["--json"]  # into its log, as a verdict may be longer than its termination message
    judge += ["--contract"] if trial.contracts(serving.version) else []
    fixed = {**_fixed(settings), "resources": settings.migration.resources.model_dump()}
    migrate = {**trial.container, **fixed, "env": _sent_to(trial.scratch, _with(settings.rehearsal.env, env))}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": trial.module,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": pod_security(settings.run_as_user),
        "initContainers": [
            {**_migrator(trial, "hold", hold, ours), "volumeMounts": [folder], "restartPolicy": "Always"},
            {**_migrator(trial, "prepare", prepare, [*ours, *listed]), "volumeMounts": [folder]},
            *([_previous(trial, serving, env, alive)] if started else []),
            *([{**_migrator(trial, "warm", warm, ours), "volumeMounts": [folder]}] if started else []),
            migrate,
        ],
        "containers": [{**_migrator(trial, "judge", judge, ours), "volumeMounts": [folder]}],
        "volumes": [{"name": "rehearsal", "emptyDir": {"sizeLimit": "64Mi"}}, *_volumes(serving.pod)],
    }
    labels = {**owner.labels, **job_labels(trial.module, KIND, trial.version)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{trial.module}-{trial.version.slug}-rehearse-{digest(pod)}",
            "namespace": namespace,
            "labels": labels,
        },
        "spec": {
            "activeDeadlineSeconds": settings.rehearsal.deadline_seconds,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": {**pod, **placed(settings.jobs)}},
        },
    }


def _migrator(trial: Trial, name: str, args: Sequence[str], env: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"name": name, "image": trial.migrator_image, "args": literal(args), "env": list(env)} | _fixed(
        trial.settings
    )


def _fixed(settings: ModuleSettings) -> dict[str, Any]:
    return {
        "imagePullPolicy": "IfNotPresent",
        "resources": job_resources(settings),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _policy(trial: Trial) -> str:
    wanted = trial.compatibility
    decisions = [each.model_dump() for each in wanted.findings]
    default = wanted.default or "refuse"
    return json.dumps(
        {"default": default, "restart": wanted.restart, "hours": wanted.statement_hours, "findings": decisions}
    )


def _statements(trial: Trial) -> list[Mapping[str, Any]]:
    """The file of statements as a variable; a pod's environment is the one place that takes it without another object."""
    if (path := trial.settings.rehearsal.statements) is None:
        return []
    text = base64.b64encode(zlib.compress(Path(path).read_bytes(), 9)).decode()
    if len(text) > _LONGEST_STATEMENTS:
        raise StatementsTooLong(trial.module, path, len(text), _LONGEST_STATEMENTS)
    return [{"name": "REHEARSAL_STATEMENTS", "value": text}]


def _alive_port(serving: Serving, module: str) -> int:
    taken = {each.get("containerPort") for each in serving.container(module).get("ports") or ()}
    return next(port for port in _ALIVE_PORTS if port not in taken)


def _previous(trial: Trial, serving: Serving, env: Sequence[Mapping[str, Any]], alive: int) -> dict[str, Any]:
    """The serving version's container: its own program and environment, the database's from the migration's."""
    own = serving.container(trial.module)
    database = _sent_to(trial.scratch, _database(env))
    taken = {e["name"] for e in database}
    rest = [e for e in own.get("env") or () if e["name"] not in taken]
    volumes = {v["name"] for v in _volumes(serving.pod)}
    container = {key: own[key] for key in _PROGRAM if key in own}
    container["volumeMounts"] = [m for m in own.get("volumeMounts") or () if m["name"] in volumes]
    user = serving.pod.get("securityContext") or {}
    as_user = {key: user[key] for key in ("runAsUser", "runAsGroup") if key in user}
    return {
        **container,
        "name": "previous",
        "restartPolicy": "Always",
        "livenessProbe": {
            "tcpSocket": {"port": alive},
            "periodSeconds": 1,
            "timeoutSeconds": 10,
            "failureThreshold": 1,  # the kernel answers while `hold` listens, however busy that is
            "terminationGracePeriodSeconds": 1,
        },
        "env": _with(trial.settings.rehearsal.env, [*database, *rest]),
        "securityContext": {**as_user, **(own.get("securityContext") or {})},
    }


def _database(env: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [e for e in env if e["name"].startswith("POSTGRES_") or e["name"] in ("PGUSER", "PGPASSWORD")]


def _with(own: Mapping[str, str], env: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The environment with what rehearsals have instead, last: it may refer to all the others."""
    return [*(e for e in env if e["name"] not in own), *({"name": k, "value": v} for k, v in sorted(own.items()))]


def _sent_to(database: str, env: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The environment with another database; POSTGRES_URI is made of POSTGRES_DATABASE in the pod."""
    return [{**e, "value": database} if e["name"] == "POSTGRES_DATABASE" else e for e in env]


def _volumes(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those that another pod can have at the same time."""
    return [v for v in pod.get("volumes") or () if any(kind in v for kind in _VOLUMES)]


def is_serving(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether pods with these labels are what a Service of ours selects."""
    return NAME in selector and VERSION in selector and selector.items() <= labels.items()


def of_module(module: str) -> dict[str, str]:
    """The labels of every rehearsal of a module."""
    return {MODULE: module, JOB: KIND}
