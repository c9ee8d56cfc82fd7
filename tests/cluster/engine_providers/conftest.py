"""One namespace for the tests of the Kubernetes provider, and calls whose messages are kept."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from offline import paths
from offline.engine.provider import Call, InitError, Made, Seen
from offline.providers.kubernetes import KubernetesProvider
from offline.providers.kubernetes.client import ApiError, Client
from offline.providers.kubernetes.kubeconfig import Kubeconfig

Object = dict[str, Any]
NAMESPACE = "engine-providers"
SERVE = "trap 'exit 0' TERM; while :; do sleep 0.2; done"


def kubeconfig() -> str:
    return os.environ.get("KUBECONFIG") or str(paths.kubeconfig())


def container(script: str = SERVE, **more: Any) -> Object:
    return {
        "name": "c",
        "image": "localhost/busybox:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script],
        **more,
    }


def pod_spec(script: str = SERVE, **more: Any) -> Object:
    return {"terminationGracePeriodSeconds": 1, "containers": [container(script, **more)]}


def named(
    api_version: str, kind: str, name: str | None = None, annotations: dict[str, str] | None = None, **more: Any
) -> Object:
    metadata = {k: v for k, v in {"name": name, "annotations": annotations}.items() if v}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def job(
    script: str,
    name: str | None = None,
    annotations: dict[str, str] | None = None,
    image: str | None = None,
    **spec: Any,
) -> Object:
    pod = pod_spec(script, **({"image": image} if image else {})) | {"restartPolicy": "Never"}
    return named(
        "batch/v1",
        "Job",
        name,
        annotations,
        spec={"backoffLimit": 0, "activeDeadlineSeconds": 60, **spec, "template": {"spec": pod}},
    )


def deployment(
    name: str | None = None,
    annotations: dict[str, str] | None = None,
    ready: bool = True,
    script: str = SERVE,
    label: str = "d",
    **spec: Any,
) -> Object:
    probe = {"exec": {"command": ["true" if ready else "false"]}, "periodSeconds": 1}
    template = {"metadata": {"labels": {"app": label}}, "spec": pod_spec(script, readinessProbe=probe)}
    return named(
        "apps/v1",
        "Deployment",
        name,
        annotations,
        spec={"replicas": 1, "selector": {"matchLabels": {"app": label}}, **spec, "template": template},
    )


def token(o: Object) -> str:
    version = o["apiVersion"] if "/" in o["apiVersion"] else f"core/{o['apiVersion']}"
    return f"kubernetes:{version}:{o['kind']}"


class Resource:
    """A resource as the engine would hold it: inputs, id and outputs from one step to the next."""

    def __init__(self, provider: KubernetesProvider, o: Object, name: str = "r") -> None:
        self.provider, self.type, self.name = provider, token(o), name
        self.said: list[tuple[str, str]] = []
        self.cancel = threading.Event()
        self.inputs: Object = {}
        self.made = Made("", {})
        self.want(o)

    @property
    def urn(self) -> str:
        return f"urn:pulumi:dev::test::{self.type}::{self.name}"

    @property
    def texts(self) -> list[str]:
        return [t for _, t in self.said if t]

    @property
    def live_name(self) -> str:
        return self.made.id.rsplit("/", 1)[-1]

    def call(self, *, preview: bool = False, timeout: float = 0) -> Call:
        return Call(
            self.urn, lambda severity, text, _: self.said.append((severity, text)), self.cancel, timeout, preview
        )

    def want(self, o: Object) -> Resource:
        """Sets new inputs."""
        self.before = self.inputs
        self.inputs, failures = self.provider.check(self.call(), self.type, self.inputs, o)
        assert not failures
        return self

    def create(self, *, preview: bool = False, timeout: float = 0) -> Resource:
        made = self.provider.create(self.call(preview=preview, timeout=timeout), self.type, self.inputs)
        self.made = made
        return self

    def failing(self, step: Callable[[], Any]) -> list[str]:
        """The reasons a step fails with; what it made is kept."""
        with pytest.raises(InitError) as e:
            step()
        self.made = e.value.made
        return e.value.reasons

    def diff(self, ignore: list[str] | None = None) -> Any:
        return self.provider.diff(
            self.call(),
            self.type,
            Seen(self.made.id, self.before, self.made.outputs),
            self.inputs,
            ignore or [],
        )

    def update(self, *, preview: bool = False, ignore: list[str] | None = None) -> Resource:
        self.made = self.provider.update(
            self.call(preview=preview),
            self.type,
            Seen(self.made.id, self.before, self.made.outputs),
            self.inputs,
            ignore or [],
        )
        return self

    def read(self) -> Made | None:
        return self.provider.read(self.call(), self.type, Seen(self.made.id, self.inputs, self.made.outputs))

    def delete(self, *, timeout: float = 0) -> None:
        self.provider.delete(self.call(timeout=timeout), self.type, Seen(self.made.id, self.inputs, self.made.outputs))


@pytest.fixture(scope="session")
def api() -> Iterator[Client]:
    client = Client(Kubeconfig(kubeconfig()))
    yield client
    client.close()


def _provider(**config: Any) -> KubernetesProvider:
    p = KubernetesProvider()
    p.configure({"kubeconfig": kubeconfig(), "namespace": NAMESPACE, **config})
    return p


@pytest.fixture(scope="session")
def namespace(api: Client) -> Iterator[str]:
    owner = _provider()
    n = Resource(owner, named("v1", "Namespace", NAMESPACE))
    try:
        api.get(f"/api/v1/namespaces/{NAMESPACE}")
        n.made = Made(NAMESPACE, copy.deepcopy(n.inputs))
        n.delete()
    except ApiError:
        pass
    n.create()
    yield NAMESPACE
    n.delete()
    owner.close()


@pytest.fixture(scope="session")
def plain(namespace: str) -> Iterator[KubernetesProvider]:
    p = _provider()
    yield p
    p.close()


@pytest.fixture(scope="session")
def upserting(namespace: str) -> Iterator[KubernetesProvider]:
    p = _provider(upsertExistingObjects="true")
    yield p
    p.close()


@pytest.fixture
def make(plain: KubernetesProvider) -> Iterator[Callable[..., Resource]]:
    """Makes resources of the plain provider; they are deleted at the end."""
    made: list[Resource] = []

    def _make(o: Object, provider: KubernetesProvider | None = None) -> Resource:
        made.append(Resource(provider or plain, o, f"r{len(made)}"))
        return made[-1]

    yield _make
    for r in reversed(made):
        if r.made.id:
            r.cancel.clear()
            r.delete(timeout=45)
