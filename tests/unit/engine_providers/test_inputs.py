"""Names, normalised inputs and what is secret."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from offline.engine.errors import NotCovered
from offline.engine.provider import Call, Seen
from offline.engine.values import UNKNOWN, Secret
from offline.providers.kubernetes import KubernetesProvider, metadata, state
from offline.providers.kubernetes.normalize import normalize, quantity

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: k}}]
clusters: [{name: k, cluster: {server: "https://127.0.0.1:1"}}]
"""


def provider(**config: Any) -> KubernetesProvider:
    p = KubernetesProvider()
    p.configure({"kubeconfig": KUBECONFIG, **config})
    return p


def call(name: str = "ledger") -> Call:
    return Call(f"urn:pulumi:dev::rec::{CONFIG_MAP}::{name}", lambda *_: None, threading.Event())


def check(
    inputs: dict[str, Any], olds: dict[str, Any] | None = None, type: str = CONFIG_MAP, **config: Any
) -> dict[str, Any]:
    checked, failures = provider(**config).check(call(), type, olds or {}, inputs)
    assert not failures
    return checked


def config_map(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


def test_an_object_without_a_name_gets_one_and_is_marked() -> None:
    checked = check(config_map(), namespace="rec")
    assert re.fullmatch(r"ledger-[0-9a-f]{8}", checked["metadata"]["name"])
    assert checked["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}


def test_an_automatic_name_is_kept_by_the_next_update() -> None:
    first = check(config_map(), namespace="rec")
    again = check(config_map(), first, namespace="rec")
    assert again == first


def test_an_explicit_name_is_left_as_it_is() -> None:
    assert check(config_map(name="c"), namespace="rec")["metadata"] == {"name": "c", "namespace": "rec"}


def test_the_namespace_comes_from_the_provider_then_the_context_then_default() -> None:
    in_context = KUBECONFIG.replace("cluster: k}}]", "cluster: k, namespace: ctx}}]", 1)
    assert check(config_map(name="c"), namespace="rec", kubeconfig=in_context)["metadata"]["namespace"] == "rec"
    assert check(config_map(name="c"), kubeconfig=in_context)["metadata"]["namespace"] == "ctx"
    assert check(config_map(name="c"))["metadata"]["namespace"] == "default"


def test_a_cluster_scoped_object_gets_no_namespace() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    assert "namespace" not in check(namespace, type="kubernetes:core/v1:Namespace", namespace="rec")["metadata"]


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("helm.sh/v3:Release", r"helm\.sh/v3 Release"),
        ("core/v1:ConfigMapList", "v1 ConfigMapList"),
        ("core/v1:ConfigMapPatch", "v1 ConfigMapPatch"),
        ("example.com/v1:Thing", r"example\.com/v1 Thing"),
    ],
)
def test_kinds_that_only_the_cli_covers_are_refused_by_name(type: str, kind: str) -> None:
    with pytest.raises(NotCovered, match=f"the Kubernetes kind {kind} is not covered.*Pulumi CLI"):
        check({}, type=f"kubernetes:{type}")


def test_annotations_and_names_that_only_the_cli_covers_are_refused() -> None:
    with pytest.raises(NotCovered, match=r"the annotation pulumi\.com/patchFieldManager"):
        check(config_map(name="c", annotations={"pulumi.com/patchFieldManager": "me"}))
    with pytest.raises(NotCovered, match=r"metadata\.generateName"):
        check(config_map(generateName="x-"))


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        (config_map(name="c", annotations={"pulumi.com/waitFor": "condition=Ready"}), "the annotation pulumi.com/waitFor"),
        ({"kind": "Ingress", "metadata": {"name": "i"}}, "the kind Ingress without pulumi.com/skipAwait"),
        ({"kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "LoadBalancer"}}, "a Service of type LoadBalancer"),
        ({"kind": "Secret", "metadata": {"name": "s"}, "type": "kubernetes.io/service-account-token"}, "the token of a ServiceAccount"),
    ],
)  # fmt: skip
def test_what_the_cli_alone_waits_for_is_refused_before_it_is_made(inputs: dict[str, Any], what: str) -> None:
    with pytest.raises(NotCovered, match=what):
        provider().create(call(), CONFIG_MAP, inputs)
    with pytest.raises(NotCovered, match=what):
        provider().update(call(), CONFIG_MAP, Seen("c", inputs, inputs), inputs)


def test_string_data_of_a_secret_becomes_data_and_is_secret() -> None:
    checked = check(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": Secret("x")}},
        type="kubernetes:core/v1:Secret",
    )
    assert checked["data"] == Secret({"password": "eA=="})
    assert "stringData" not in checked


def test_a_secret_value_anywhere_stays_secret_and_taints_its_list_only() -> None:
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "env": [{"name": "P", "value": Secret("x")}]}]}}},
    }  # fmt: skip
    checked = check(deployment, type="kubernetes:apps/v1:Deployment")
    assert checked["spec"]["template"]["spec"]["containers"] == Secret(
        [{"name": "c", "env": [{"name": "P", "value": "x"}]}]
    )
    assert checked["spec"]["replicas"] == 1


def test_empty_values_that_the_server_drops_are_dropped() -> None:
    pod_spec = {
        "hostNetwork": False,
        "containers": [{"name": "c", "env": [{"name": "A", "value": ""}], "args": [], "securityContext": {}}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    given = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "annotations": {}, "uid": "u"},
        "spec": pod_spec,
    }
    assert normalize(given) == {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "env": [{"name": "A"}], "securityContext": {}}], "volumes": [{"name": "v", "emptyDir": {}}]},
    }  # fmt: skip


def test_data_of_a_config_map_is_kept_to_the_letter() -> None:
    given = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"readOnly": "", "host": ""}}
    assert normalize(given) == given


def test_objects_with_unknown_values_are_not_touched() -> None:
    assert normalize(config_map(name=UNKNOWN, labels={}))["metadata"] == {"name": UNKNOWN, "labels": {}}


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        (1, "1"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("100M", "100M"),
        ("1000Ki", "1000Ki"),
        ("0", "0"),
        ("1500m", "1500m"),
        ("what", "what"),
    ],
)
def test_amounts_are_canonical(given: Any, canonical: str) -> None:
    assert quantity(given) == canonical


def test_outputs_hold_inputs_manager_and_version_beside_the_live_object() -> None:
    made = state.outputs({"data": {"a": "b"}}, {"kind": "ConfigMap", "data": {"a": "c"}}, {}, "v1", "m")
    assert made["data"] == {"a": "c"}
    assert (made["__inputs"], made["__initialApiVersion"], made["__fieldManager"]) == ({"data": {"a": "b"}}, "v1", "m")
    assert state.parse(made)[0] == {"data": {"a": "b"}}
    assert state.origin(made) == ("v1", "m")


def test_an_update_takes_over_what_the_create_and_kubectl_wrote() -> None:
    managed = [
        {"manager": "pulumi-kubernetes", "operation": "Update", "fieldsV1": {"f:spec": {"f:a": {}}}},
        {"manager": "kubectl-patch", "operation": "Update", "fieldsV1": {"f:spec": {"f:b": {}}}},
        {
            "manager": "kube-controller-manager",
            "operation": "Update",
            "subresource": "status",
            "fieldsV1": {"f:status": {}},
        },
    ]
    taken = metadata.take_over(managed, "pulumi-kubernetes-12345678")
    assert taken is not None
    assert [(e["manager"], e["operation"]) for e in taken] == [
        ("pulumi-kubernetes-12345678", "Apply"),
        ("kube-controller-manager", "Update"),
    ]
    assert taken[0]["fieldsV1"] == {"f:spec": {"f:a": {}, "f:b": {}}}
    assert metadata.take_over(taken, "pulumi-kubernetes-12345678") is None
