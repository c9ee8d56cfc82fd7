"""Who can read what a preview has cannot become who updates (``ci/access.yaml``). No pod runs here."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from lightkube import Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, ServiceAccount

from tests.cluster.pipeline_access import access, token

pytestmark = [pytest.mark.cluster]

_number = itertools.count(1)


class Account:
    """An account of a pipeline, by HTTP: what the server answers is what counts."""

    def __init__(self, api: Client, namespace: str, name: str) -> None:
        self._client = httpx.Client(
            base_url=str(api.config.cluster.server),
            headers={"Authorization": f"Bearer {token(api, namespace, name)}"},
            verify=False,
        )

    def create(self, namespace: str, thing: dict[str, Any], *, dry: bool, subresource: str = "") -> tuple[int, str]:
        group = "api/v1" if thing["apiVersion"] == "v1" else f"apis/{thing['apiVersion']}"
        path = f"/{group}/namespaces/{namespace}/{thing['kind'].lower()}s{subresource}"
        answer = self._client.post(path, json=thing, params={"dryRun": "All"} if dry else {})
        return int(answer.status_code), str(answer.text)

    def get(self, path: str) -> int:
        return int(self._client.get(path).status_code)

    def ask_for_token(self, namespace: str, account: str) -> int:
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return int(self._client.post(path, json=request).status_code)

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


@pytest.fixture
def namespace(api: Client) -> Iterator[str]:
    name = f"access-{os.getpid() % 10_000}-{next(_number)}"
    api.create(Namespace(metadata=ObjectMeta(name=name)))
    try:
        with access(api, name):
            # An account is made for each namespace by a controller, and nothing that has pods is accepted before.
            while not any(
                a.metadata and a.metadata.name == "default" for a in api.list(ServiceAccount, namespace=name)
            ):
                time.sleep(0.05)
            yield name
    finally:
        api.delete(Namespace, name)


@pytest.fixture
def preview(api: Client, namespace: str) -> Iterator[Account]:
    with Account(api, namespace, "rollout-preview") as account:
        yield account


@pytest.fixture
def up(api: Client, namespace: str) -> Iterator[Account]:
    with Account(api, namespace, "rollout-up") as account:
        yield account


def named(kind: str, version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x", **more.pop("metadata", {})}, **more}


def pod(account: str = "default") -> dict[str, Any]:
    return named("Pod", spec={"serviceAccountName": account, "containers": [{"name": "x", "image": "x"}]})


def job(account: str = "default") -> dict[str, Any]:
    return named("Job", "batch/v1", spec={"template": {"spec": {**pod(account)["spec"], "restartPolicy": "Never"}}})


def its_token(account: str) -> dict[str, Any]:
    annotations = {"kubernetes.io/service-account.name": account}
    return named("Secret", metadata={"annotations": annotations}, type="kubernetes.io/service-account-token")


def denied_by_the_policy(preview: Account, namespace: str) -> bool:
    """The API server takes a moment to compile a policy that is new."""
    for _ in range(100):
        status, text = preview.create(
            namespace, named("ConfigMap", data={}, metadata={"generateName": "x-"}), dry=False
        )
        if status == 422 and "only dry runs" in text:
            return True
        time.sleep(0.1)
    return False


def test_a_preview_can_do_dry_runs_and_nothing_else(preview: Account, namespace: str) -> None:
    assert denied_by_the_policy(preview, namespace)
    for thing in (named("Secret"), pod(), job(), named("ServiceAccount")):
        assert preview.create(namespace, thing, dry=True)[0] == 201, thing["kind"]
        status, text = preview.create(namespace, thing, dry=False)
        assert (status, "only dry runs" in text) == (422, True), thing["kind"]
    assert preview.get(f"/api/v1/namespaces/{namespace}/secrets") == 200, "it compares them"


@pytest.mark.parametrize("dry", [True, False])
def test_a_preview_cannot_become_who_updates(preview: Account, namespace: str, dry: bool) -> None:
    accounts = f"{namespace}-pipelines"
    for thing in (pod("rollout-up"), job("rollout-up"), its_token("rollout-up"), named("ServiceAccount")):
        assert preview.create(accounts, thing, dry=dry)[0] == 403, thing["kind"]
    assert preview.ask_for_token(accounts, "rollout-up") == 403
    assert preview.get(f"/api/v1/namespaces/{accounts}/secrets") == 403
    role = named("RoleBinding", "rbac.authorization.k8s.io/v1", roleRef={}, subjects=[])
    assert preview.create(namespace, role, dry=dry)[0] == 403


def test_who_updates_can_and_has_no_more_rights_among_the_accounts(up: Account, namespace: str) -> None:
    assert up.create(namespace, named("Secret"), dry=False)[0] == 201
    assert up.create(f"{namespace}-pipelines", its_token("rollout-preview"), dry=False)[0] == 403
