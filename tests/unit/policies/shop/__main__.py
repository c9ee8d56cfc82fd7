"""Somebody else's program in plain pulumi-kubernetes, with generated names: once as it should be, and with one slip each."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as k8s


def pod(container: dict[str, Any], labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": labels}, "spec": {"containers": [container], **spec}}


def shop(slip: str) -> None:
    """A ConfigMap, a migration and a Deployment, in a namespace that is named as the slip."""
    migrate = k8s.batch.v1.Job(
        f"{slip}-migrate",
        metadata={"namespace": slip},
        spec={
            "activeDeadlineSeconds": 300,
            "backoffLimit": 1,
            "template": pod(
                {
                    "name": "db",
                    "image": f"shop/api:{6 if slip == 'other-image' else 7}",
                    "command": ["rake", "db:migrate"],
                },
                {"app": "shop" if slip == "labels" else "migrate"},
                restartPolicy="OnFailure" if slip == "restarts" else "Never",
            ),
        },
    )
    config = k8s.core.v1.ConfigMap(
        f"{slip}-config",
        metadata={"namespace": slip},
        data={"LEVEL": "info"},
        opts=pulumi.ResourceOptions(depends_on=[] if slip in ("early-config", "ungated") else [migrate]),
    )
    container = {"name": "api", "image": "shop/api:7", "envFrom": [{"configMapRef": {"name": config.metadata.name}}]}
    if slip == "by-property":
        container["env"] = [{"name": "MIGRATION", "value": migrate.metadata.name}]
    k8s.apps.v1.Deployment(
        f"{slip}-api",
        metadata={"namespace": slip},
        spec={"selector": {"matchLabels": {"app": "shop"}}, "template": pod(container, {"app": "shop"})},
        opts=pulumi.ResourceOptions(depends_on=[] if slip in ("ungated", "through-config") else [migrate]),
    )
    k8s.core.v1.Service(
        f"{slip}-api", metadata={"namespace": slip}, spec={"selector": {"app": "shop"}, "ports": [{"port": 80}]}
    )


for each in ("none", "through-config", "ungated", "other-image", "early-config", "by-property", "labels", "restarts"):
    shop(each)
