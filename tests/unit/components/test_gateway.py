"""The gateway: what is versioned, what it waits for, and what its Caddyfile says."""

from __future__ import annotations

from typing import Any

import pytest

import settings
from components.caddyfile import caddyfile
from settings import GatewaySettings, Route
from settings.gateway import Part
from tests.unit.components.declared import Declared, FakeCluster, declare, ledger

INGRESS = {"hosts": ["stack.example.org"], "tlsSecret": "stack-tls", "className": "nginx", "annotations": {"a": "b"}}


def gateway(**more: Any) -> dict[str, Any]:
    return {"image": "example.org/gateway", "version": "2.3.1", "database": False, **more}


def stack_of(
    *names: str, cluster: FakeCluster | None = None, own: dict[str, Any] | None = None, **more: Any
) -> dict[str, Declared]:
    modules = {name: ledger(image=f"example.org/{name}") for name in names}
    return declare({**modules, "gateway": gateway(**(own or {}))}, cluster, **more)


def only(stack: dict[str, Declared], beginning: str) -> Declared:
    [found] = (each for key, each in stack.items() if key.startswith(beginning))
    return found


def test_a_configuration_never_changes_and_has_a_deployment_of_its_own() -> None:
    config = only(before := stack_of("ledger"), "ConfigMap/gateway")
    assert config.inputs["immutable"] is True
    other = only(after := stack_of("ledger", "payments"), "ConfigMap/gateway")
    assert config.inputs["metadata"]["name"] != other.inputs["metadata"]["name"]
    deployments = [only(each, "Deployment/gateway") for each in (before, after)]
    assert deployments[0].name != deployments[1].name, "a resource of its own, made before the old one is deleted"
    selectors = [each.inputs["spec"]["selector"]["matchLabels"] for each in deployments]
    assert selectors[0] != selectors[1]
    assert [each["Service/gateway"].inputs["spec"]["selector"] for each in (before, after)] == selectors


def test_a_deployment_waits_for_caddys_word_on_its_configuration() -> None:
    stack = stack_of("ledger")
    job, deployment = only(stack, "Job/gateway"), only(stack, "Deployment/gateway")
    assert f"kubernetes:batch/v1:Job::{job.name}" in deployment.depends_on
    pod = job.inputs["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"][0] == "validate"
    assert pod["containers"][0]["image"] == deployment.inputs["spec"]["template"]["spec"]["containers"][0]["image"]
    assert pod["volumes"][0] == deployment.inputs["spec"]["template"]["spec"]["volumes"][0]


def test_modules_that_are_new_come_before_the_gateway() -> None:
    stack = stack_of("ledger", "payments")
    job = only(stack, "Job/gateway")
    assert {"kubernetes:core/v1:Service::ledger", "kubernetes:core/v1:Service::payments"} <= job.depends_on


def test_a_module_that_serves_does_not_hold_up_the_gateway() -> None:
    serving = FakeCluster(versions={"ledger": "1.0.0"})
    job = only(stack_of("ledger", "payments", cluster=serving), "Job/gateway")
    services = {each for each in job.depends_on if "Service::" in each}
    assert services == {"kubernetes:core/v1:Service::payments"}, (
        "or its failed upgrade would keep the gateway's from it"
    )
    job = only(stack_of("ledger", "payments", cluster=serving, own={"dependsOn": ["ledger"]}), "Job/gateway")
    assert "kubernetes:core/v1:Service::ledger" in job.depends_on


def test_the_configuration_of_a_gateway_that_serves_is_guarded() -> None:
    stack = stack_of("ledger")
    assert only(stack, "ConfigMap/gateway").hooks["before_delete"] == ["keep-used"]
    assert only(stack, "Deployment/gateway").hooks["before_delete"] == ["keep-serving"]


def test_a_gateway_needs_no_pause_before_it_is_told_to_stop() -> None:
    [container] = only(stack_of("ledger"), "Deployment/gateway").inputs["spec"]["template"]["spec"]["containers"]
    assert "lifecycle" not in container, "told to stop it goes on, and asks its clients to leave"


def test_an_ingress_leads_to_the_gateway() -> None:
    stack = stack_of("ledger", gateway={"ingress": INGRESS})
    ingress = stack["Ingress/gateway"].inputs
    assert ingress["spec"]["rules"][0]["host"] == "stack.example.org"
    assert ingress["spec"]["tls"] == [{"hosts": ["stack.example.org"], "secretName": "stack-tls"}]
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["metadata"]["annotations"]["a"] == "b"
    assert "kubernetes:core/v1:Service::gateway" in stack["Ingress/gateway"].depends_on


def test_where_something_else_leads_to_it_there_is_none_and_the_public_name_stays() -> None:
    def public(*, create: bool) -> list[str]:
        stack = declare(
            {"ledger": {"version": "v2.4.12"}, "gateway": gateway()}, gateway={"ingress": {**INGRESS, "create": create}}
        )
        assert ("Ingress/gateway" in stack) == create
        [container] = stack["Deployment/ledger-v2.4.12"].inputs["spec"]["template"]["spec"]["containers"]
        return [e["value"] for e in container["env"] if e["name"] == "STACK_PUBLIC_URL"]

    assert public(create=False) == public(create=True) == ["https://stack.example.org"]


@pytest.mark.parametrize(
    ("modules", "more", "said"),
    [
        ({"ledger": ledger()}, {"gateway": {"ingress": INGRESS}}, "no module named gateway"),
        ({"ledger": ledger(dependsOn=["gateway"]), "gateway": gateway()}, {}, "goes last"),
        ({"gateway": gateway()}, {"gateway": {"ingress": {"hosts": ["not a host"]}}}, "hosts"),
        ({"gateway": gateway()}, {"gateway": {"region": 'a"}'}}, "region"),
        ({"gateway": gateway()}, {"gateway": {"shutdownSeconds": 30}}, "shutdownSeconds"),
        ({"gateway": gateway()}, {"gateway": {"graceSeconds": 25}}, "graceSeconds"),
    ],
)
def test_settings_that_make_no_gateway_are_refused(modules: Any, more: Any, said: str) -> None:
    with pytest.raises(settings.SettingsError, match=said):
        declare(modules, **more)


ROUTES = [Route("payments", "/_healthcheck"), Route("ledger", "/_health")]


def test_the_order_of_modules_does_not_change_the_caddyfile() -> None:
    texts = {caddyfile(routes, GatewaySettings(), grace_seconds=10) for routes in (ROUTES, ROUTES[::-1])}
    assert len(texts) == 1


def test_every_module_has_its_path_and_nothing_beside_it() -> None:
    text = caddyfile(ROUTES, GatewaySettings(), grace_seconds=10)
    assert "handle /api/ledger {" in text
    assert "handle /api/ledger/* {" in text
    assert "handle /api/ledger* {" not in text
    assert "http://ledger:8080/_info http://ledger:8080/_health\n" in text


def test_the_administration_interface_is_off() -> None:
    assert "admin off" in caddyfile(ROUTES, GatewaySettings(), grace_seconds=10)


def test_plugins_are_named_only_where_the_image_has_them() -> None:
    text = caddyfile(ROUTES, GatewaySettings(plugins=()), grace_seconds=10)
    assert "order versions" not in text
    assert "httpInclude" in text, "/versions by Caddy alone"


def test_a_request_has_a_span_where_traces_go_somewhere() -> None:
    traces = {"traces": {"endpoint": "grpc://otel:4317"}}
    with_traces, without = stack_of("ledger", openTelemetry=traces), stack_of("ledger")
    assert "\ttracing {\n\t\tspan gateway\n\t}\n" in only(with_traces, "ConfigMap/gateway").inputs["data"]["Caddyfile"]
    assert "tracing" not in only(without, "ConfigMap/gateway").inputs["data"]["Caddyfile"]


@pytest.mark.parametrize(("given", "grace"), [({}, 23), ({"shutdownSeconds": 8}, 20), ({"graceSeconds": 4}, 4)])
def test_requests_have_what_is_left_of_the_pods_grace_period(given: dict[str, Any], grace: int) -> None:
    text = only(stack_of("ledger", gateway=given), "ConfigMap/gateway").inputs["data"]["Caddyfile"]
    assert f"grace_period {grace}s" in text


def test_a_part_of_a_modules_interface_is_sent_to_the_service_that_answers_it() -> None:
    parts = (Part("payments-worker", ("/connectors",)), Part("payments-worker", ("/bank-accounts",), ("POST", "PATCH")))
    text = caddyfile([Route("payments", "/_health", parts)], GatewaySettings(), grace_seconds=10)
    block = text.partition("handle /api/payments/* {\n")[2].partition("\n\t}\n")[0]
    assert (
        block
        == """\
\t\t@part1 {
\t\t\tpath /api/payments/connectors /api/payments/connectors/*
\t\t}
\t\thandle @part1 {
\t\t\timport to_module payments payments-worker
\t\t}
\t\t@part2 {
\t\t\tpath /api/payments/bank-accounts /api/payments/bank-accounts/*
\t\t\tmethod POST PATCH
\t\t}
\t\thandle @part2 {
\t\t\timport to_module payments payments-worker
\t\t}
\t\thandle {
\t\t\timport to_module payments payments
\t\t}"""
    )
