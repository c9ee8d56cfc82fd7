"""Creating, changing, reading and deleting objects that need no waiting."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from offline.engine.provider import InitError, ProviderError, Seen
from offline.engine.values import Secret, unwrap
from offline.providers.kubernetes import KubernetesProvider
from offline.providers.kubernetes.client import ApiError, Client

from .conftest import NAMESPACE, Object, Resource, deployment, job, named

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]
Make = Callable[..., Resource]
MERGE = "application/merge-patch+json"


def managers(o: Object) -> list[tuple[str, str]]:
    return [(m["manager"], m["operation"]) for m in o["metadata"]["managedFields"]]


def config_map(name: str | None = None, annotations: dict[str, str] | None = None, **data: str) -> Object:
    return named("v1", "ConfigMap", name, annotations, data=data)


def test_a_created_object_has_an_automatic_name_its_inputs_and_no_diff(make: Make) -> None:
    c = make(config_map(A="1")).create()
    assert c.made.id == f"{NAMESPACE}/{c.live_name}"
    assert c.live_name.startswith("r0-")
    assert c.made.outputs["__inputs"] == c.inputs
    assert c.made.outputs["__initialApiVersion"] == "v1"
    assert c.made.outputs["__fieldManager"].startswith("pulumi-kubernetes-")
    assert managers(c.made.outputs) == [("pulumi-kubernetes", "Update")]
    assert not c.diff().changes


def test_an_update_applies_under_a_manager_of_its_own_and_keeps_the_name(make: Make) -> None:
    s = make(
        named(
            "v1",
            "Service",
            "s1",
            {"pulumi.com/skipAwait": "true"},
            spec={"selector": {"v": "1"}, "ports": [{"port": 80}]},
        )
    ).create()
    manager = s.made.outputs["__fieldManager"]
    changed = named(
        "v1", "Service", "s1", {"pulumi.com/skipAwait": "true"}, spec={"selector": {"v": "2"}, "ports": [{"port": 80}]}
    )
    assert list(s.want(changed).diff().detailed) == ["spec.selector.v"]
    s.update()
    assert managers(s.made.outputs) == [(manager, "Apply")]
    assert s.made.outputs["spec"]["selector"] == {"v": "2"}
    assert s.made.outputs["__fieldManager"] == manager
    assert "Skipping await logic" in s.texts


def test_a_field_left_out_is_removed(make: Make) -> None:
    s = make(named("v1", "ServiceAccount", "sa", {"a": "1", "b": "2"})).create()
    s.want(named("v1", "ServiceAccount", "sa", {"a": "1"})).update()
    assert s.made.outputs["metadata"]["annotations"] == {"a": "1"}


def test_an_existing_object_is_not_taken_over(make: Make) -> None:
    make(config_map("taken")).create()
    second = make(config_map("taken"))
    with pytest.raises(ProviderError) as e:
        second.create()
    assert str(e.value).startswith(
        f'resource "{second.urn}" was not successfully created by the Kubernetes API server: configmaps "taken" already exists\n\nThe resource'
    )
    assert second.texts == ['Retry #0; creation failed: configmaps "taken" already exists']


def test_unless_the_provider_upserts(make: Make, upserting: KubernetesProvider) -> None:
    first = make(config_map("shared", A="1")).create()
    second = make(config_map("shared", B="2"), upserting).create()
    assert second.made.outputs["metadata"]["uid"] == first.made.outputs["metadata"]["uid"]
    assert second.made.outputs["data"] == {"A": "1", "B": "2"}
    assert managers(second.made.outputs)[0] == (second.made.outputs["__fieldManager"], "Apply")


def test_an_upsert_does_not_change_what_another_set(make: Make, upserting: KubernetesProvider) -> None:
    make(config_map("contested", A="1")).create()
    with pytest.raises(ProviderError, match=r"(?s)server-side apply field conflict detected.*conflict with"):
        make(config_map("contested", A="2"), upserting).create()
    forced = make(config_map("contested", {"pulumi.com/patchForce": "true"}, A="3"), upserting).create()
    assert forced.made.outputs["data"] == {"A": "3"}


def test_a_preview_of_an_upsert_that_the_server_would_refuse_shows_an_object_beside_it(
    make: Make, upserting: KubernetesProvider
) -> None:
    skip = {"pulumi.com/skipAwait": "true"}
    make(job("true", "frozen", skip), upserting).create()
    again = Resource(upserting, job("false", "frozen", skip)).create(preview=True)
    assert again.made.outputs["metadata"]["name"].startswith("frozen")
    assert again.texts[0].startswith('Preview creation failed due to immutable fields; retrying with name "frozen')


def test_a_rejected_object_is_told_in_the_servers_words(make: Make) -> None:
    with pytest.raises(ProviderError, match=r'ConfigMap "Bad_Name" is invalid: metadata\.name: Invalid value'):
        make(config_map("Bad_Name")).create()


def test_a_rejected_update_keeps_the_object_in_the_state(make: Make) -> None:
    s = make(named("v1", "Service", "s2", {"pulumi.com/skipAwait": "true"}, spec={"ports": [{"port": 80}]})).create()
    s.want(named("v1", "Service", "s2", {"pulumi.com/skipAwait": "true"}, spec={"ports": [{"port": 80000}]}))
    with pytest.raises(InitError) as e:
        s.update()
    assert e.value.reasons[0].startswith(
        f'the Kubernetes API server reported that "{NAMESPACE}/s2" failed to fully initialize or become live: Service "s2" is invalid'
    )
    assert e.value.made.outputs["spec"]["ports"][0]["port"] == 80


def test_a_secret_is_secret_in_inputs_and_outputs(make: Make) -> None:
    s = make(named("v1", "Secret", "db", stringData={"password": Secret("canary")})).create()
    assert s.made.outputs["data"] == s.inputs["data"] == Secret({"password": "Y2FuYXJ5"})
    assert s.made.outputs["__inputs"]["data"] == Secret({"password": "Y2FuYXJ5"})
    assert not s.diff().changes


def test_a_preview_of_a_creation_makes_nothing_and_shows_defaults(make: Make, api: Client) -> None:
    d = make(deployment("previewed")).create(preview=True)
    assert d.made.id == ""
    assert d.made.outputs["spec"]["progressDeadlineSeconds"] == 600
    assert "status" not in d.made.outputs
    with pytest.raises(ApiError, match="not found"):
        api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/previewed")


def test_a_preview_in_a_namespace_that_does_not_exist_shows_the_inputs(plain: KubernetesProvider) -> None:
    o = config_map("c", A="1")
    o["metadata"]["namespace"] = "none-such"
    r = Resource(plain, o).create(preview=True)
    assert r.made.outputs == r.inputs


def test_a_preview_of_an_update_changes_nothing(make: Make, api: Client) -> None:
    s = make(named("v1", "ServiceAccount", "sa2", {"a": "1"})).create()
    s.want(named("v1", "ServiceAccount", "sa2", {"a": "2"})).update(preview=True)
    assert s.made.outputs["metadata"]["annotations"] == {"a": "2"}
    assert api.get(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/sa2")["metadata"]["annotations"] == {"a": "1"}


def test_reading_finds_drift_in_what_we_set_only(make: Make, api: Client) -> None:
    c = make(config_map("drifting", A="1")).create()
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/drifting"
    api.request("PATCH", path, {"data": {"A": "9", "B": "2"}, "metadata": {"labels": {"x": "y"}}}, content_type=MERGE)
    seen = c.read()
    assert seen is not None
    assert seen.inputs == {**c.inputs, "data": {"A": "9"}}
    assert seen.outputs["data"] == {"A": "9", "B": "2"}
    c.made = seen
    assert {p: d.kind for p, d in c.diff().detailed.items()} == {"data.A": "update-replace"}


def test_reading_an_object_that_is_gone_finds_nothing(make: Make, api: Client) -> None:
    c = make(config_map("gone")).create()
    api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/configmaps/gone")
    assert c.read() is None
    c.delete()  # no error
    c.made = type(c.made)("", {})


def test_ignored_changes_keep_the_live_value(make: Make, api: Client) -> None:
    o = deployment("scaled", {"pulumi.com/skipAwait": "true"}, replicas=0)
    d = make(o).create()
    api.request(
        "PATCH",
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/scaled",
        {"spec": {"replicas": 2, "paused": True}},
        content_type=MERGE,
    )
    changed = copy.deepcopy(o)
    changed["spec"] |= {"minReadySeconds": 1, "replicas": 7}
    d.want(changed).update(ignore=["spec.replicas"])
    assert d.made.outputs["spec"]["replicas"] == 2
    assert d.made.outputs["spec"]["minReadySeconds"] == 1


def test_an_object_waits_for_its_namespace(make: Make) -> None:
    o = config_map("early", A="1")
    o["metadata"]["namespace"] = f"{NAMESPACE}-late"
    late = make(named("v1", "Namespace", f"{NAMESPACE}-late"))
    threading.Timer(0.5, late.create).start()
    early = make(o).create()
    assert early.made.id == f"{NAMESPACE}-late/early"
    assert early.texts[0] == f'Retry #0; creation failed: namespaces "{NAMESPACE}-late" not found'
    early.delete()
    late.delete()
    early.made = late.made = type(late.made)("", {})


@pytest.mark.measures
def test_five_hundred_unchanged_objects_ask_the_server_nothing(make: Make, plain: KubernetesProvider) -> None:
    d = make(deployment("still", {"pulumi.com/skipAwait": "true"}, replicas=0)).create()
    fresh = KubernetesProvider()
    fresh.configure({"kubeconfig": KUBECONFIG_TO_NOWHERE, "namespace": NAMESPACE})
    began = time.process_time()
    for _ in range(500):
        inputs, _failures = fresh.check(d.call(), d.type, d.inputs, d.inputs)
        assert not fresh.diff(d.call(), d.type, Seen(d.made.id, d.inputs, d.made.outputs), inputs).changes
    assert (time.process_time() - began) / 500 < 0.010


KUBECONFIG_TO_NOWHERE: Any = {
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1"}}],
}


@pytest.mark.measures
def test_deletion_ends_when_the_object_is_gone(make: Make, api: Client) -> None:
    c = make(config_map("short-lived")).create()
    began = time.monotonic()
    c.delete()
    assert time.monotonic() - began < 5
    with pytest.raises(ApiError, match="not found"):
        api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/short-lived")
    c.made = type(c.made)("", {})


def release(api: Client, name: str) -> None:
    api.request(
        "PATCH",
        f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}",
        {"metadata": {"finalizers": None}},
        content_type=MERGE,
    )


def test_a_deletion_that_a_finalizer_holds_times_out_with_its_name(make: Make, api: Client) -> None:
    o = config_map("held", {"pulumi.com/timeoutSeconds": "1"})
    o["metadata"]["finalizers"] = ["example.com/hold"]
    c = make(o).create()
    with pytest.raises(ProviderError, match=r"^timed out waiting for the condition$"):
        c.delete()
    release(api, "held")
    assert [t for t in c.texts if t.startswith("finalizers might be preventing deletion (example.com/hold")]


@pytest.mark.measures
def test_a_cancelled_deletion_returns_soon(make: Make, api: Client) -> None:
    o = config_map("held2")
    o["metadata"]["finalizers"] = ["example.com/hold"]
    c = make(o).create()
    threading.Timer(0.3, c.cancel.set).start()
    began = time.monotonic()
    with pytest.raises(ProviderError, match="context canceled"):
        c.delete()
    assert time.monotonic() - began < 1.5
    release(api, "held2")


def test_values_are_unwrapped_before_they_are_sent(make: Make) -> None:
    c = make(config_map("tainted", A=Secret("x"))).create()  # type: ignore[arg-type]
    assert c.made.outputs["data"] == {"A": Secret("x")}
    assert unwrap(c.made.outputs["__inputs"]["data"]) == {"A": "x"}
