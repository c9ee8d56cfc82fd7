"""What the scenarios run: modules gated by a migration Job, and single objects, as one JSON value of the configuration says.

It has the shape of `components/` (docs/gate.md) and nothing of it, so that what is compared is the engines alone: the
CLI's recordings do not change with this repository's components. `PARITY_NAMESPACE` is where its objects live.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_kubernetes as k8s

NAMESPACE = os.environ["PARITY_NAMESPACE"]
# Seconds a Deployment and a Job get where a scenario is not about that: as recorded, unless a busy machine needs more.
TIMEOUT = os.environ.get("PARITY_TIMEOUT", "30")
DEADLINE = int(os.environ.get("PARITY_DEADLINE", "60"))
IMAGE = "localhost/busybox:1"
SERVE = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
MIGRATIONS = {
    "ok": "echo migrated",
    "fail": "echo 'ERROR: division by zero' >&2; exit 1",
    # Fails until somebody makes the ConfigMap "flag": a migration whose cause is put right from outside.
    "flag": "test -f /flag/ok || { echo 'flag missing' >&2; exit 1; }",
    "hang": "sleep 3600",
}
KINDS = {
    "ConfigMap": k8s.core.v1.ConfigMap,
    "Deployment": k8s.apps.v1.Deployment,
    "Namespace": k8s.core.v1.Namespace,
    "Pod": k8s.core.v1.Pod,
    "StatefulSet": k8s.apps.v1.StatefulSet,
}


def _kubectl(*args: str) -> str:
    return subprocess.run(["kubectl", "-n", NAMESPACE, *args], capture_output=True, text=True, check=False).stdout


def _keep_serving(args: Any) -> None:
    """Refuses to delete a Deployment that its Service still selects."""
    labels = args.old_inputs["spec"]["selector"]["matchLabels"]
    live = _kubectl("get", "service", labels["app"], "-o", "jsonpath={.spec.selector.version}")
    if live == labels["version"]:
        raise RuntimeError(f"{args.name} still serves: its Service selects version {live}")


def _let_it_finish(args: Any) -> None:
    """Waits before a Job is deleted until none of its pods is active."""
    job = args.old_inputs["metadata"]["name"]
    while _kubectl("get", "job", job, "-o", "jsonpath={.status.active}") not in ("", "0"):
        time.sleep(0.5)


def _container(script: str, image: str = IMAGE, **more: Any) -> dict[str, Any]:
    shell = ["/bin/sh", "-c", script]
    return {"name": "c", "image": image, "imagePullPolicy": "IfNotPresent", "command": shell, **more}


class Module(pulumi.ComponentResource):
    """Job, then Deployment, then Service; the version is in the logical names of the first two."""

    def __init__(self, spec: dict[str, Any], after: list[pulumi.Resource], guards: dict[str, Any]) -> None:
        super().__init__("rec:index:Module", spec["name"], None, pulumi.ResourceOptions(depends_on=after))
        self._spec, self._guards = spec, guards
        self._release = f"{spec['name']}-{spec['version']}"
        self._labels = {"app": spec["name"], "version": spec["version"]}
        job = self._job()
        deployment = self._deployment(job, self._config(job))
        k8s.core.v1.Service(
            spec["name"],
            metadata={
                "name": spec["name"],
                "annotations": spec.get("serviceAnnotations", {"pulumi.com/skipAwait": "true"}),
            },
            spec={"selector": self._labels, "ports": [{"port": 80}]},
            opts=self._options(plain, depends_on=[deployment]),
        )
        self.register_outputs({"version": spec["version"]})

    def _options(self, provider: k8s.Provider, **more: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, provider=provider, **more)

    def _chosen(self, *options: str) -> dict[str, Any]:
        return {name: self._spec[name] for name in options if name in self._spec}

    def _job(self) -> k8s.batch.v1.Job:
        spec, name = self._spec, f"{self._release}-migrate"
        kind = spec.get("migrate", "ok")
        script = MIGRATIONS.get(kind) or f"sleep {float(kind)}; echo migrated"
        replace_unready = spec.get("replaceUnready")
        annotations = {"pulumi.com/replaceUnready": replace_unready} if replace_unready else {}
        named = {} if spec.get("job") == "auto" else {"name": name}
        flag = {"name": "flag", "configMap": {"name": "flag", "optional": True}}
        migrate = _container(
            script, spec.get("migrateImage", IMAGE), volumeMounts=[{"name": "flag", "mountPath": "/flag"}]
        )
        pod = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [migrate],
            "volumes": [flag],
        }
        return k8s.batch.v1.Job(
            name,
            metadata={**named, "annotations": annotations},
            spec={
                "backoffLimit": 0,
                "activeDeadlineSeconds": spec.get("deadline", DEADLINE),
                "template": {"metadata": {"labels": {"migrates": spec["name"]}}, "spec": pod},
            },
            opts=self._options(
                upserting if spec.get("upsert") else plain,
                **self._guards.get("job", {}),
                **self._chosen("replacement_trigger", "replace_on_changes"),
            ),
        )

    def _config(self, job: k8s.batch.v1.Job) -> dict[str, Any]:
        if "config" not in self._spec:
            return {}
        owner = self._release if self._spec.get("versionedConfig", True) else self._spec["name"]
        made = k8s.core.v1.ConfigMap(
            f"{owner}-config", data=self._spec["config"], opts=self._options(plain, depends_on=[job])
        )
        return {"envFrom": [{"configMapRef": {"name": made.metadata["name"]}}]}

    def _deployment(self, job: k8s.batch.v1.Job, config: dict[str, Any]) -> k8s.apps.v1.Deployment:
        spec = self._spec
        probe = {"exec": {"command": ["true" if spec.get("ready", True) else "false"]}, "periodSeconds": 1}
        serve = _container(
            spec.get("serve", SERVE),
            env=[{"name": "VERSION", "value": spec["version"]}],
            readinessProbe=probe,
            **config,
        )
        pod = {"terminationGracePeriodSeconds": spec.get("grace", 1), "containers": [serve]}
        return k8s.apps.v1.Deployment(
            self._release,
            metadata={"annotations": {"pulumi.com/timeoutSeconds": str(spec.get("timeout", TIMEOUT))}},
            spec={
                "replicas": spec.get("replicas", 1),
                "selector": {"matchLabels": self._labels},
                "template": {"metadata": {"labels": self._labels}, "spec": pod},
            },
            opts=self._options(
                plain,
                depends_on=[job],
                **self._guards.get("deployment", {}),
                **self._chosen("protect", "retain_on_delete", "ignore_changes"),
            ),
        )


def _before_delete(name: str, hook: Any) -> dict[str, Any]:
    return {"hooks": pulumi.ResourceHookBinding(before_delete=[pulumi.ResourceHook(name, hook)])}


spec: dict[str, Any] = json.loads(pulumi.Config().require("spec"))
plain = k8s.Provider("plain", namespace=NAMESPACE)
upserting = k8s.Provider("upsert", namespace=NAMESPACE, upsert_existing_objects=True)
hooks: dict[str, Any] = {}
if spec.get("hooks"):
    hooks = {
        "deployment": _before_delete("keep-serving", _keep_serving),
        "job": _before_delete("let-it-finish", _let_it_finish),
    }

modules: dict[str, pulumi.Resource] = {}
for m in spec.get("modules", []):
    modules[m["name"]] = Module(m, [modules[other] for other in m.get("dependsOn", [])], hooks)
for name, data in spec.get("secrets", {}).items():
    hidden = {key: pulumi.Output.secret(value) for key, value in data.items()}
    k8s.core.v1.Secret(name, string_data=hidden, opts=pulumi.ResourceOptions(provider=plain))
for name, c in spec.get("commands", {}).items():
    command.local.Command(name, **c)
for name, o in spec.get("objects", {}).items():
    fields = {key: value for key, value in o.items() if key != "kind"}
    KINDS[o["kind"]](name, **fields, opts=pulumi.ResourceOptions(provider=plain))
if spec.get("raise"):
    raise RuntimeError(spec["raise"])
for name, value in spec.get("outputs", {}).items():
    pulumi.export(name, value)
for name, value in spec.get("secretOutputs", {}).items():
    pulumi.export(name, pulumi.Output.secret(value))
