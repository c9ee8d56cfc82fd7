from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.cluster import LiveCluster
from tests.unit.components.api import Api, serving
from tests.unit.components.declared import OWNER


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A Kubernetes API that KUBECONFIG leads to."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with serving(tmp_path / "kubeconfig") as found:
        yield found


@pytest.fixture
def live(api: Api) -> Iterator[LiveCluster]:
    """What the guards ask, on that API."""
    cluster = LiveCluster("dev", None, OWNER)
    yield cluster
    if "client" in vars(cluster):
        cluster.client.close()
