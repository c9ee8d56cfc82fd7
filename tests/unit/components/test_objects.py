"""What Pulumi is told of an object is what ``pulumi_kubernetes``' own class would tell it."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from google.protobuf import json_format
from pulumi.runtime import mocks
from pulumi.runtime.stack import run_pulumi_func

from components import objects

from .declared import Recorder

POD = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "c", "image": "i", "imagePullPolicy": "Always"}]},
}
SPEC: dict[str, dict[str, Any]] = {"spec": {"template": POD, "selector": {"matchLabels": {"app": "x"}}}}
CASES: list[tuple[type, type, dict[str, Any], dict[str, Any]]] = [
    (objects.ConfigMap, k8s.core.v1.ConfigMap, {"data": {"a_b": "1"}, "immutable": True}, {}),
    (objects.Namespace, k8s.core.v1.Namespace, {}, {}),
    (objects.Service, k8s.core.v1.Service, {"spec": {"ports": [{"targetPort": "http", "port": 80}]}}, {}),
    (
        objects.ServiceAccount, k8s.core.v1.ServiceAccount,
        {"automountServiceAccountToken": False, "imagePullSecrets": [{"name": "s"}]},
        {"automount_service_account_token": False, "image_pull_secrets": [{"name": "s"}]},
    ),
    (
        objects.Secret, k8s.core.v1.Secret,
        {"stringData": {"password": "canary"}, "immutable": True}, {"string_data": {"password": "canary"}, "immutable": True},
    ),
    (objects.Deployment, k8s.apps.v1.Deployment, SPEC, {}),
    (objects.Job, k8s.batch.v1.Job, {"spec": {"activeDeadlineSeconds": 60, "template": POD}}, {}),
    (objects.PodDisruptionBudget, k8s.policy.v1.PodDisruptionBudget, {"spec": {"maxUnavailable": 1}}, {}),
    (
        objects.HorizontalPodAutoscaler, k8s.autoscaling.v2.HorizontalPodAutoscaler,
        {"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, "maxReplicas": 3}}, {},
    ),
    (objects.NetworkPolicy, k8s.networking.v1.NetworkPolicy, {"spec": {"podSelector": {"matchLabels": {"app": "x"}}}}, {}),
    (objects.Ingress, k8s.networking.v1.Ingress, {"spec": {"rules": [{"host": "example.org"}]}}, {}),
]  # fmt: skip


def told(declare: Any) -> dict[str, Any]:
    """The request that registers the one resource of a program."""
    recorder = Recorder()

    async def main() -> None:
        mocks.set_mocks(recorder.mocks, project="p", stack="s", preview=False, monitor=recorder)
        await run_pulumi_func(lambda: (declare(), None)[1])

    asyncio.run(main())
    (request,) = (r for r in recorder.requests if r.type != "pulumi:pulumi:Stack")
    message: dict[str, Any] = json_format.MessageToDict(request)
    # Theirs also names the plugin's release, which here the provider does, and API versions no cluster serves any more.
    for which in ("version", "aliases", "sourcePosition", "stackTrace", "packageRef"):
        message.pop(which, None)
    return message


@pytest.mark.parametrize(("ours", "theirs", "fields", "as_theirs"), CASES, ids=lambda v: getattr(v, "__name__", ""))
def test_what_is_registered(ours: Any, theirs: Any, fields: dict[str, Any], as_theirs: dict[str, Any]) -> None:
    metadata = {"name": "x", "labels": {"app.kubernetes.io/name": "x"}}
    mine = told(lambda: ours("x", metadata=metadata, opts=pulumi.ResourceOptions(), **fields))
    assert mine == told(lambda: theirs("x", metadata=metadata, **(as_theirs or fields)))


def test_every_kind_is_compared() -> None:
    kinds = {v for v in vars(objects).values() if isinstance(v, type) and issubclass(v, objects._Object)}
    assert kinds - {objects._Object} == {case[0] for case in CASES}
