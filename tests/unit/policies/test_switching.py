"""Services of a foreign program, and what they send to whom, as the real pack host says with production's configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.values import Resource
from tests.unit.policies.good_program import (
    BUDGET,
    DEPLOYMENT,
    JOB,
    SERVICE,
    Change,
    Resources,
    annotated,
    changed,
    container,
    having,
    having_too,
    pod,
    running,
    without,
)
from tests.unit.policies.host import Host, told

pytestmark = pytest.mark.slow
SWITCHES = "service-selects-one-version"
EARLY = having(SERVICE, waits=[])


def labelled(
    name: str, value: str, *, own: bool = False, service: bool = False, expression: bool = False, fixed: bool = False
) -> Change:
    """A label of the Deployment's pods, asked for by its own selector (which then names it, unless that is fixed) and by the Service."""

    def change(resources: Resources) -> None:
        spec = resources[DEPLOYMENT].props["spec"]
        spec["template"]["metadata"]["labels"][name] = value
        if own:
            spec["selector"]["matchLabels"][name] = value
        if expression:
            spec["selector"]["matchExpressions"] = [{"key": name, "operator": "In", "values": [value]}]
        if (own or expression) and not fixed:
            resources[DEPLOYMENT].props["metadata"]["name"] = f"api-{value.replace('.', '-')}"
        if service:
            resources[SERVICE].props["spec"]["selector"][name] = value

    return change


def service(name: str, selector: str, more: str = "") -> Change:
    metadata = f"{{name: {name}, namespace: prod}}"
    text = f"apiVersion: v1\nkind: Service\nmetadata: {metadata}\nspec: {{{more}selector: {{{selector}}}, ports: [{{port: 1}}]}}\n"
    return having_too(text)


@pytest.mark.parametrize(
    "change",
    [
        labelled("version", "7.0.0", own=True, service=True),
        labelled("color", "green", own=True, service=True),
        labelled("shop.example/deployed", "green", own=True, service=True),
        labelled("release", "7.0.0", own=True, service=True),
        labelled("version", "7.0.0", expression=True, service=True),
        labelled("version", "api", service=True),
    ],
    ids=["a version", "a colour", "a colour's name", "the image's tag", "by an expression", "by the Deployment's name"],
)
def test_a_service_that_selects_one_version_waits_for_it(change: Change, production: Host) -> None:
    assert told(production, changed(change)) == []
    (message,) = told(production, changed(change, EARLY))
    assert "would switch to Deployment 'api' before that is ready" in message


@pytest.mark.parametrize(
    "change",
    [labelled("color", "green", own=True), labelled("version", "7.0.0", expression=True)],
    ids=["a colour", "by an expression"],
)
def test_a_service_selects_the_version_that_its_deployment_selects(change: Change, production: Host) -> None:
    (message,) = told(production, changed(change))
    assert "its selector lacks" in message


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
@pytest.mark.parametrize(
    "change",
    [
        labelled("version", "7.0.0", own=True, service=True, fixed=True),
        labelled("color", "green", expression=True, service=True, fixed=True),
        labelled("release", "7.0.0", own=True, service=True, fixed=True),
    ],
    ids=["a version", "by an expression", "the image's tag"],
)
def test_a_version_in_a_selector_that_cannot_be_changed_is_in_the_name(
    change: Change, kind: str, production: Host
) -> None:
    """https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector : immutable, so Pulumi replaces the object."""
    other = having(DEPLOYMENT, type=f"kubernetes:apps/v1:{kind}")
    (message,) = told(production, changed(change, other), "versioned-names")
    assert "the next version deletes the one that serves before it starts" in message

    def generated(resources: Resources) -> None:
        del resources[DEPLOYMENT].props["metadata"]["name"]

    assert told(production, changed(change, other, generated), "versioned-names") == []


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(("name", "value"), [("version", "7.0.0"), ("color", "green"), ("release", "7.0.0")])
def test_a_version_that_is_updated_in_place_is_not_selected(
    name: str, value: str, early: bool, production: Host
) -> None:
    (message,) = told(production, changed(labelled(name, value, service=True), *[EARLY] * early))
    assert f"selects {name}={value}, and Deployment 'api' is updated in place" in message


def test_a_deployment_that_is_updated_in_place_needs_no_switch(production: Host) -> None:
    assert told(production, changed(EARLY)) == []
    assert told(production, changed(labelled("version", "7.0.0"), EARLY)) == [], "a label for people"


# Pods that others make


def test_an_operators_pods_are_not_missed(production: Host) -> None:
    assert told(production, changed(service("db", "cnpg.io/cluster: db, role: primary"))) == []
    other = service("cache", "redis: cache")
    (message,) = told(production, changed(other))
    assert "annotate rollout.formance.com/pods: elsewhere" in message
    assert told(production, changed(other, annotated("Service/cache", pods="elsewhere"))) == []


def test_pods_of_this_program_are_judged_whatever_the_annotation_says(production: Host) -> None:
    green = labelled("color", "green", own=True, service=True)
    assert told(production, changed(green, EARLY, annotated(SERVICE, pods="elsewhere")), SWITCHES)


def report(**spec: Any) -> Change:
    """A Job whose pods are labelled app: report."""

    def change(resources: Resources) -> None:
        template = {"metadata": {"labels": {"app": "report"}}, "spec": dict(pod(resources[JOB]))}
        template["spec"]["containers"] = [{**container(resources[JOB]), "args": ["report"]}]
        props = {"metadata": {"name": "report", "namespace": "prod"}, "spec": {"template": template, **spec}}
        resources["Job/report"] = Resource("kubernetes:batch/v1:Job", "report", "report", props)

    return change


def test_the_pods_of_an_indexed_job_find_each_other(production: Host) -> None:
    indexed = report(completionMode="Indexed", completions=3)
    assert told(production, changed(indexed, service("report", "app: report", "clusterIP: None, "))) == []
    assert told(production, changed(indexed, service("report", "app: report")))
    assert told(production, changed(report(), service("report", "app: report", "clusterIP: None, ")))


def test_a_cron_jobs_pods_are_nobody_elses(production: Host) -> None:
    def nightly(resources: Resources) -> None:
        job = resources.pop("Job/report")
        job.props["spec"]["template"]["metadata"]["labels"] = {"app": "api"}
        spec = {"schedule": "@daily", "jobTemplate": {"spec": job.props["spec"]}}
        resources["CronJob"] = replace(job, type="kubernetes:batch/v1:CronJob", props={**job.props, "spec": spec})

    messages = told(production, changed(report(), nightly))
    assert len([m for m in messages if "finds its pods too" in m]) == 3, "the Deployment, the Service and the budget"


def test_a_budget_of_a_whole_namespace_is_nobodys_labels(production: Host) -> None:
    def whole(resources: Resources) -> None:
        resources[BUDGET].props["spec"]["selector"] = {}

    assert told(production, changed(whole)) == []


# Who answers meanwhile


@pytest.mark.parametrize("key", [DEPLOYMENT, SERVICE])
def test_what_serves_is_not_deleted_before_its_successor_is_there(key: str, production: Host) -> None:
    (message,) = told(production, changed(having(key, deleted_first=True)))
    assert "it is deleted before its successor is made" in message
    assert told(production, changed(having(JOB, deleted_first=True))) == []


def stateful(name: str = "api") -> Change:
    def change(resources: Resources) -> None:
        spec = resources[DEPLOYMENT].props["spec"]
        spec["serviceName"] = name
        del spec["strategy"]
        having(DEPLOYMENT, type="kubernetes:apps/v1:StatefulSet")(resources)

    return change


def headless(resources: Resources) -> None:
    resources[SERVICE].props["spec"]["clusterIP"] = "None"


def test_the_service_that_names_a_stateful_sets_pods_is_there_before_them(production: Host) -> None:
    broker = [stateful(), labelled("version", "7.0.0", own=True, service=True), EARLY]
    assert told(production, changed(*broker, headless)) == []
    assert told(production, changed(*broker), SWITCHES)
    assert told(production, changed(stateful("other"), *broker[1:], headless), SWITCHES)


@pytest.mark.parametrize("kind", ["apps/v1:StatefulSet", "apps/v1:DaemonSet", "apps/v1:ReplicaSet"])
def test_what_a_service_selects_is_probed_and_waited_for(kind: str, production: Host) -> None:
    other = having(DEPLOYMENT, type=f"kubernetes:{kind}")
    assert told(production, changed(other)) == []
    (message,) = told(production, changed(other, running(DEPLOYMENT, readinessProbe=None)))
    assert "no readinessProbe" in message

    skipped = annotated(DEPLOYMENT, **{"pulumi.com/skipAwait": "true"})
    (message,) = told(production, changed(other, skipped))
    assert "does not wait until" in message


def test_a_singleton_answers_no_requests(production: Host) -> None:
    def alone(resources: Resources) -> None:
        resources[DEPLOYMENT].props["spec"].update(strategy={"type": "Recreate"}, replicas=1)

    def grpc(resources: Resources) -> None:
        resources[SERVICE].props["spec"]["ports"] = [{"name": "grpc", "port": 8081}]

    singleton = [annotated(DEPLOYMENT, singleton="true"), alone]
    (message,) = told(production, changed(*singleton))
    assert "nobody answers it while one version ends" in message
    for program in (changed(*singleton, headless), changed(*singleton, grpc), changed(*singleton, without(SERVICE))):
        assert told(production, program) == []


def test_keda_keeps_replicas_too(production: Host) -> None:
    def scaled(least: int | None) -> Change:
        def change(resources: Resources) -> None:
            del resources[DEPLOYMENT].props["spec"]["replicas"]
            spec = {"scaleTargetRef": {"name": "api"}} | ({} if least is None else {"minReplicaCount": least})
            props = {"metadata": {"name": "api", "namespace": "prod"}, "spec": spec}
            resources["keda"] = Resource("kubernetes:keda.sh/v1alpha1:ScaledObject", "api", "urn:keda", props)

        return change

    assert told(production, changed(scaled(2))) == []
    assert "it has 0 replicas" in str(told(production, changed(scaled(None))))
