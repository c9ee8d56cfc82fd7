"""Without a cluster: previews go on, changes fail with the reason."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from offline.engine.errors import NotCovered
from offline.engine.provider import Call, ProviderError, Seen
from offline.engine.values import UNKNOWN
from offline.providers.kubernetes import KubernetesProvider

from .test_inputs import CONFIG_MAP, KUBECONFIG, config_map


def provider(kubeconfig: str, **config: Any) -> KubernetesProvider:
    p = KubernetesProvider()
    p.configure({"kubeconfig": kubeconfig, "namespace": "rec", **config})
    return p


def call(*, preview: bool) -> Call:
    return Call(f"urn:pulumi:dev::rec::{CONFIG_MAP}::c", lambda *_: None, threading.Event(), preview=preview)


@pytest.mark.parametrize(
    ("kubeconfig", "reason"),
    [
        ("/nonexistent", "failed to parse kubeconfig data in `kubernetes:config:kubeconfig`-"),
        (KUBECONFIG, "unable to load schema information from the API server: .*refused"),
    ],
)
def test_a_preview_shows_the_inputs_and_an_update_says_why_not(kubeconfig: str, reason: str) -> None:
    p = provider(kubeconfig)
    inputs, failures = p.check(call(preview=True), CONFIG_MAP, {}, config_map(name="c"))
    assert not failures
    made = p.create(call(preview=True), CONFIG_MAP, inputs)
    assert (made.id, made.outputs) == ("", inputs)
    with pytest.raises(ProviderError, match=f"configured Kubernetes cluster is unreachable: {reason}"):
        p.create(call(preview=False), CONFIG_MAP, inputs)


def test_a_refresh_fails() -> None:
    inputs = config_map(name="c", namespace="rec")
    with pytest.raises(ProviderError, match="failed to read resource state due to unreachable cluster"):
        provider(KUBECONFIG).read(call(preview=False), CONFIG_MAP, Seen("rec/c", inputs, inputs))
    with pytest.raises(ProviderError, match="PULUMI_K8S_DELETE_UNREACHABLE"):
        provider(KUBECONFIG).delete(call(preview=False), CONFIG_MAP, Seen("rec/c", inputs, inputs))


def test_a_preview_with_unknown_values_asks_no_server() -> None:
    inputs = config_map(name=UNKNOWN)
    assert provider(KUBECONFIG).create(call(preview=True), CONFIG_MAP, inputs).outputs == inputs


def test_what_is_not_covered_is_refused_at_once() -> None:
    for name, value in {
        "enableServerSideApply": "false",
        "renderYamlToDirectory": "d",
        "deleteUnreachable": True,
    }.items():
        with pytest.raises(NotCovered, match=f"the Kubernetes provider.*{name}"):
            provider(KUBECONFIG, **{name: value})
