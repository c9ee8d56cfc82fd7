"""What rehearsals read of the cluster, asked with the real client."""

from __future__ import annotations

from typing import Any

import pytest

from components.cluster import LiveCluster
from components.names import VERSION
from components.rehearsal_cluster import LiveRehearsals
from tests.unit.components.api import Api

V1 = {"app.kubernetes.io/name": "ledger", "app.kubernetes.io/version": "1.0.0"}
V2 = V1 | {VERSION: "1.1.0"}


def service(selector: dict[str, str]) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": "ledger"}, "spec": {"selector": selector}}


def deployment(labels: dict[str, str], replicas: int = 2, **status: int) -> dict[str, Any]:
    pod = {"containers": [{"name": "ledger", "image": f"example.org/ledger:{labels[VERSION]}"}]}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    metadata = {"name": f"ledger-{labels[VERSION]}", "labels": labels}
    return {"kind": "Deployment", "metadata": metadata, "spec": spec, "status": status}


@pytest.mark.parametrize(
    "status", [{"readyReplicas": 2}, {"replicas": 2}, {}], ids=["ready", "unready", "just changed"]
)
def test_what_the_service_selects_is_rehearsed_with_whether_it_is_ready_or_not(
    api: Api, live: LiveCluster, status: dict[str, int]
) -> None:
    api.objects = [service(V1), deployment(V2, readyReplicas=2), deployment(V1, **status)]
    serving = LiveRehearsals(live).serving_pod("ledger")
    assert serving
    assert (serving.version, serving.container("ledger")["image"]) == ("1.0.0", "example.org/ledger:1.0.0")
    assert serving.ready == ("readyReplicas" in status)


@pytest.mark.parametrize(
    "objects",
    [
        [deployment(V1, readyReplicas=2)],
        [service({}), deployment(V1, readyReplicas=2)],
        [service(V1), deployment(V2, readyReplicas=2)],
        [service(V1), deployment(V1, replicas=0)],
    ],
    ids=["no Service", "no selector", "no Deployment", "no replicas"],
)
def test_where_nothing_is_to_serve_there_is_nothing_to_rehearse_with(
    api: Api, live: LiveCluster, objects: list[dict[str, Any]]
) -> None:
    api.objects = objects
    assert LiveRehearsals(live).serving_pod("ledger") is None
