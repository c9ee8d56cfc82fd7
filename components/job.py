"""A Job that something waits for: bounded, retained, run again when it has failed, never when it has succeeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from settings import JobSettings

from .names import digest
from .pod import JOB_RESOURCES, container_security, placed, pod_security
from .scope import Scope


def gate_job(
    logical_name: str,
    name: str,
    *,
    container: Mapping[str, Any],
    labels: Mapping[str, str],
    active_deadline_seconds: int,
    backoff_limit: int,
    run_as_user: int,
    service_account: str,
    jobs: JobSettings,
    scope: Scope,
    opts: pulumi.ResourceOptions,
    volumes: Sequence[Mapping[str, Any]] = (),
    annotations: Mapping[str, str] | None = None,
    run_as_group: int | None = None,
    witness: Mapping[str, Any] | None = None,
    resources: Mapping[str, Mapping[str, str]] = JOB_RESOURCES,
    settled: bool = False,
) -> k8s.batch.v1.Job:
    """Declares a Job named ``<name>-<hash of its pod>``.

    The name is known before the update and changes with what the Job runs, so that after a killed update the next one finds
    the running Job and waits for it, and a finished Job is never mistaken for another. It is not removed by a TTL: a Job that
    vanishes would be drift, and run again.

    Args:
        logical_name: in Pulumi's state; versioned for a version's migration.
        name: beginning of the Kubernetes name.
        container: its only container, without the security settings that all have.
        labels: of the Job and its pods; in no selector.
        active_deadline_seconds: the Job controller ends it after this.
        backoff_limit: how often a failed pod is tried again.
        run_as_user: user and group of the process.
        service_account: whose image pull secrets count.
        jobs: where its pod runs; a change runs no Job again.
        scope: namespace, owner, provider.
        opts: parent, dependencies and hooks.
        volumes: that the container mounts.
        annotations: of its pods; a change of them runs no Job again.
        run_as_group: group of the process, where it is another than the user.
        witness: init container and volume that look on. They are no part of what the Job runs: a change of them, or of
            whether there are any, runs no Job again.
        resources: of the container. They are no part of what the Job runs either, but one that was killed for want of memory is to have
            more when it runs again.
        settled: it has run as it should; other resources are for the next one.
    """
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": pod_security(run_as_user, run_as_group),
        "containers": [
            {
                **container,
                "imagePullPolicy": "IfNotPresent",
                "resources": JOB_RESOURCES,
                "securityContext": container_security(),
                # The runner writes its last words there; of any other program the end of its log is taken.
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }
    if volumes:
        pod["volumes"] = list(volumes)
    name = f"{name}-{digest(pod)}"
    # A pod's template cannot be changed in a Job: what is ignored would mean another run.
    opts.ignore_changes = [
        "spec.template.metadata.annotations",
        "spec.template.spec.nodeSelector",
        "spec.template.spec.tolerations",
    ]
    pod |= placed(jobs)
    pod["containers"] = [{**pod["containers"][0], "resources": {k: dict(v) for k, v in resources.items()}}]
    if settled:
        opts.ignore_changes.append("spec.template.spec.containers[0].resources")
    if witness is not None:
        pod |= witness
        if volumes:
            pod["volumes"] = [*volumes, *witness.get("volumes", ())]
        opts.ignore_changes += ["spec.template.spec.initContainers", "spec.template.spec.volumes"]
    template: dict[str, Any] = {"labels": {**scope.owner.labels, **labels}}
    if annotations:
        template["annotations"] = dict(annotations)
    return k8s.batch.v1.Job(
        logical_name,
        metadata=scope.metadata(
            name,
            labels,
            # A Job that has failed runs again on the next update; the guard `let-finish` keeps one that still runs.
            {"pulumi.com/replaceUnready": "true", "pulumi.com/timeoutSeconds": str(active_deadline_seconds + 60)},
        ),
        spec={
            "activeDeadlineSeconds": active_deadline_seconds,
            "backoffLimit": backoff_limit,
            "template": {"metadata": template, "spec": pod},
        },
        opts=opts,
    )
