"""What counts as a change, and what replaces."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest

from offline.engine.paths import covers, parse_path
from offline.engine.provider import Call, Diff, Seen
from offline.engine.values import UNKNOWN, Secret
from offline.providers.diff import show
from offline.providers.kubernetes import KubernetesProvider, state

from .test_inputs import KUBECONFIG

CALL = Call("urn:pulumi:dev::rec::t::n", lambda *_: None, threading.Event())


def deployment() -> dict[str, Any]:
    container = {"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}]}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "rec"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "1"}}, "template": {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [container]}}},
    }  # fmt: skip


def live(inputs: dict[str, Any]) -> dict[str, Any]:
    """As the server returns it: with defaults and status."""
    o = copy.deepcopy(inputs)
    o["metadata"] |= {"uid": "u", "resourceVersion": "5", "generation": 1}
    o["status"] = {"x": 1}
    if "template" in o.get("spec", {}):
        o["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    return o


def diff(
    old: dict[str, Any],
    new: dict[str, Any],
    ignore: list[str] | None = None,
    seen: dict[str, Any] | None = None,
    **config: Any,
) -> Diff:
    p = KubernetesProvider()
    p.configure({"kubeconfig": KUBECONFIG, **config})
    outputs = state.outputs(old, seen or live(old), old, old["apiVersion"], "m")
    return p.diff(CALL, "kubernetes:x/v1:X", Seen("rec/w", old, outputs), new, ignore or [])


def kinds(d: Diff) -> dict[str, str]:
    return {path: change.kind for path, change in d.detailed.items()}


def test_the_same_inputs_are_no_change_whatever_the_server_added() -> None:
    assert diff(deployment(), deployment()) == Diff(False, [], (), {}, False)


def test_a_changed_value_is_an_update_at_its_path() -> None:
    new = deployment()
    new["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "2"
    d = diff(deployment(), new)
    assert kinds(d) == {"spec.template.spec.containers[0].env[0].value": "update"}
    assert (d.changes, d.replaces, d.delete_before_replace) == (True, [], False)


def test_added_and_removed_values_are_told_apart() -> None:
    new = deployment()
    new["spec"]["minReadySeconds"] = 3
    new["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "B", "value": "2"})
    del new["spec"]["replicas"]
    d = diff(deployment(), new)
    assert kinds(d) == {
        "spec.minReadySeconds": "add",
        "spec.template.spec.containers[0].env[1]": "add",
        "spec.replicas": "delete",
    }
    assert [p for p, c in d.detailed.items() if c.input_diff] == ["spec.replicas"]


def test_a_new_selector_replaces_a_deployment_with_an_explicit_name_by_deleting_it_first() -> None:
    new = deployment()
    new["spec"]["selector"]["matchLabels"]["a"] = new["spec"]["template"]["metadata"]["labels"]["a"] = "2"
    d = diff(deployment(), new)
    assert kinds(d) == {"spec.selector.matchLabels.a": "update-replace", "spec.template.metadata.labels.a": "update"}
    assert (d.replaces, d.delete_before_replace) == (["spec.selector.matchLabels.a"], True)


def test_an_object_with_an_automatic_name_is_made_anew_before_the_old_one_goes() -> None:
    old = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c-1234abcd", "namespace": "rec", "annotations": {"pulumi.com/autonamed": "true"}},
        "data": {"A": "1"},
    }
    d = diff(old, old | {"data": {"A": "2"}})
    assert (kinds(d), d.delete_before_replace) == ({"data.A": "update-replace"}, False)


def test_another_name_replaces_and_the_old_object_may_stay_until_then() -> None:
    new = deployment()
    new["metadata"]["name"] = "v"
    d = diff(deployment(), new)
    assert (kinds(d), d.delete_before_replace) == ({"metadata.name": "update-replace"}, False)


@pytest.mark.parametrize(
    ("inputs", "change", "expected"),
    [
        ({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"x": 1}}}}, {"spec": {"template": {"spec": {"x": 2}}}}, {"spec.template.spec.x": "update-replace"}),
        ({"apiVersion": "batch/v1", "kind": "Job", "spec": {"backoffLimit": 1}}, {"spec": {"backoffLimit": 2}}, {"spec.backoffLimit": "update"}),
        ({"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"v": "1"}}}, {"spec": {"selector": {"v": "2"}}}, {"spec.selector.v": "update"}),
        ({"apiVersion": "v1", "kind": "Service", "spec": {"clusterIP": "1.1.1.1"}}, {"spec": {"clusterIP": "None"}}, {"spec.clusterIP": "update-replace"}),
        ({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "a"}]}}, {"spec": {"containers": [{"image": "b"}]}}, {"spec.containers[0].image": "update-replace"}),
        ({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"serviceName": "a"}}, {"spec": {"serviceName": "b"}}, {"spec.serviceName": "update-replace"}),
        ({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": {"maxUnavailable": 1}}, {"spec": {"maxUnavailable": 2}}, {"spec.maxUnavailable": "update"}),
        ({"apiVersion": "v1", "kind": "Secret", "data": {"a": "eA=="}}, {"data": {"a": "eQ=="}}, {"data.a": "update-replace"}),
        ({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1", "b": "2"}}, {"data": {"a": "1"}}, {"data.b": "delete-replace"}),
    ],
)  # fmt: skip
def test_fields_that_replace(inputs: dict[str, Any], change: dict[str, Any], expected: dict[str, str]) -> None:
    old = inputs | {"metadata": {"name": "w", "namespace": "rec"}}
    assert kinds(diff(old, old | change, seen=old | {"status": {}})) == expected


def test_drift_of_a_field_we_set_is_a_change_and_of_any_other_is_not() -> None:
    seen = live(deployment())
    seen["spec"]["replicas"], seen["spec"]["paused"] = 3, True
    assert kinds(diff(deployment(), deployment(), seen=seen)) == {"spec.replicas": "update"}


def test_ignored_fields_are_left_out() -> None:
    new = deployment()
    new["spec"]["replicas"] = 5
    assert not diff(deployment(), new, ["spec.replicas"]).changes
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2"
    assert kinds(diff(deployment(), new, ["spec.replicas", "spec.template.spec.containers[*].env"])) == {
        "spec.template.spec.containers[0].image": "update"
    }


def test_an_unknown_value_counts_as_an_update() -> None:
    new = deployment()
    new["spec"]["template"]["spec"]["containers"][0]["image"] = UNKNOWN
    assert kinds(diff(deployment(), new)) == {"spec.template.spec.containers[0].image": "update"}


def test_a_secret_that_did_not_change_is_no_change() -> None:
    old = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "rec"},
        "data": Secret({"a": "eA=="}),
    }
    plain = old | {"data": {"a": "eA=="}}
    assert not diff(plain, old).changes


def test_paths_are_written_as_the_cli_writes_them() -> None:
    path = ("metadata", "annotations", "a.b/c", 0)
    assert show(path) == 'metadata.annotations["a.b/c"][0]'
    assert parse_path(show(path)) == path
    assert covers(parse_path("spec.containers[*].image"), ("spec", "containers", 1, "image"))
    assert not covers(parse_path("spec.replicas"), ("spec",))


def test_a_moved_cluster_replaces_the_provider_and_another_file_for_the_same_does_not() -> None:
    p = KubernetesProvider()
    moved = p.diff_config({"kubeconfig": KUBECONFIG}, {"kubeconfig": KUBECONFIG.replace("127.0.0.1:1", "127.0.0.1:2")})
    assert (moved.changes, list(moved.replaces)) == (True, ["kubeconfig"])
    same = p.diff_config({"kubeconfig": KUBECONFIG}, {"kubeconfig": KUBECONFIG + "\n"})
    assert (same.changes, list(same.replaces)) == (True, [])
    assert not p.diff_config({"namespace": "a"}, {"namespace": "a"}).changes
