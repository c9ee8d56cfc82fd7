"""What a program gets past the rules by something that they do not look into, and what only looks like that."""

from __future__ import annotations

import time
from typing import Any

import pytest

from policies.judge import judge
from policies.rules import nothing_unseen
from policies.values import UNKNOWN, Program, Provider, Resource
from tests.unit.policies.good_program import (
    DEPLOYMENT,
    JOB,
    SERVICE,
    Change,
    Resources,
    annotated,
    changed,
    copied,
    having,
    having_too,
    pod,
    running,
)

IMAGE = "ghcr.io/formancehq/api:7.0.0"
CONTAINER = {"name": "api", "image": IMAGE, "args": ["serve"]}


def told(*changes: Change, rule: str = "") -> list[str]:
    return [j.message for j in judge(changed(*changes), "prod") if j.mandatory and rule in ("", j.rule)]


def resource(type_: str, **props: Any) -> Change:
    def change(resources: Resources) -> None:
        metadata = {"name": "x", "namespace": "prod"} if type_.startswith("kubernetes:") else {}
        resources["x"] = Resource(
            type_, "x", f"urn:x::{type_}::x", ({"metadata": metadata} if metadata else {}) | props
        )

    return change


# Providers that apply nothing: https://www.pulumi.com/registry/packages/kubernetes/api-docs/provider/


@pytest.mark.parametrize("name", ["renderYamlToDirectory", "skipUpdateUnreachable"])
@pytest.mark.parametrize("key", [JOB, DEPLOYMENT, SERVICE])
def test_a_provider_that_applies_nothing_is_refused(name: str, key: str) -> None:
    def by(value: Any) -> list[str]:
        providers = {
            k: having(k, provider=Provider(f"urn:{k}", {name: value} if k == key else {}))
            for k in (JOB, DEPLOYMENT, SERVICE)
        }
        return told(*providers.values(), rule="nothing-unseen")

    for given in ("out", True, "true") if name.startswith("skip") else ("out",):
        assert f"its provider is told {name}" in str(by(given))
    for off in (None, False, "false", ""):
        assert by(off) == []
    assert bool(by(UNKNOWN)) is name.startswith("render")


# What deploys other things


@pytest.mark.parametrize(
    ("type_", "spec"),
    [
        ("kubernetes:helm.toolkit.fluxcd.io/v2:HelmRelease", {"chart": {"spec": {"chart": "api"}}}),
        ("kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization", {"path": "./api"}),
        ("kubernetes:argoproj.io/v1alpha1:Application", {"source": {"path": "api"}}),
        ("kubernetes:kubernetes.crossplane.io/v1alpha2:Object", {"forProvider": {"manifest": {"kind": "Deployment"}}}),
        ("kubernetes:serving.knative.dev/v1:Revision", {"containers": [CONTAINER]}),
        ("kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet", {"leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": [CONTAINER]}}}}),
        ("kubernetes:example.org/v1:Thing", {"pods": [{"initContainers": [CONTAINER]}]}),
        ("kubernetes:apps.openshift.io/v1:DeploymentConfig", {"triggers": [{"type": "ImageChange"}]}),
    ],
)  # fmt: skip
def test_what_deploys_out_of_sight_is_refused(type_: str, spec: dict[str, Any]) -> None:
    (message,) = told(resource(type_, spec=spec))
    assert "no policy sees" in message
    kind = type_.partition(":")[2].partition("/")[0] + "/" + type_.rpartition(":")[2]
    judged = changed(resource(type_, spec=spec))
    assert [f for r in judged.resources for f in nothing_unseen.RULE.judge(Program((r,)), {"kinds": [kind]})] == []


@pytest.mark.parametrize(
    ("type_", "spec"),
    [
        ("kubernetes:monitoring.coreos.com/v1:Prometheus", {"containers": [{"name": "thanos", "image": "quay.io/thanos/thanos:v0.36.1"}]}),
        ("kubernetes:postgresql.cnpg.io/v1:Cluster", {"imageName": "ghcr.io/cloudnative-pg/postgresql:16.4"}),
        ("kubernetes:cert-manager.io/v1:Certificate", {"secretName": "tls"}),
        ("kubernetes:keda.sh/v1alpha1:ScaledJob", {"jobTargetRef": {"template": {"spec": {"containers": [CONTAINER]}}}}),
        ("kubernetes:argoproj.io/v1alpha1:WorkflowTemplate", {"templates": [{"container": CONTAINER}]}),
        ("kubernetes:example.org/v1:Thing", {"containers": 3, "image": "x"}),
    ],
)  # fmt: skip
def test_what_an_operator_makes_of_its_own_is_not(type_: str, spec: dict[str, Any]) -> None:
    protected = having("x", protect=True)
    assert told(resource(type_, spec=spec), protected) == []


MIGRATES = {"name": "m", "image": IMAGE, "command": ["api", "migrate"]}


@pytest.mark.parametrize(
    ("type_", "spec"),
    [
        ("kubernetes:keda.sh/v1alpha1:ScaledJob", {"jobTargetRef": {"template": {"spec": {"containers": [MIGRATES]}}}}),
        ("kubernetes:argoproj.io/v1alpha1:Workflow", {"templates": [{"container": MIGRATES}]}),
        ("kubernetes:tekton.dev/v1:TaskRun", {"taskSpec": {"steps": [MIGRATES]}}),
    ],
)
def test_a_migration_in_an_object_of_another_kind_is_refused(type_: str, spec: dict[str, Any]) -> None:
    (message,) = told(resource(type_, spec=spec), rule="gate")
    assert "container 'm' migrates, and Pulumi does not wait" in message


@pytest.mark.parametrize(
    "create",
    [
        *("kubectl set image deployment/api api=api:8", "kubectl -n prod --context p apply -f x.yaml", "helm upgrade --install api ./api"),
        *("set -e; /usr/local/bin/kubectl rollout undo deploy/api", "bash -c 'oc patch dc/api -p x'", "argocd app sync api"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["local", "remote"])
def test_a_command_that_deploys_is_refused(create: str, where: str) -> None:
    (message,) = told(resource(f"command:{where}:Command", create=create))
    assert "changes what no policy sees" in message


@pytest.mark.parametrize(
    "create",
    [
        *("kubectl get secret x -o jsonpath={.data.y}", "kubectl wait --for=condition=Available deploy/api", "kubectl rollout status deploy/api"),
        *("helm template ./api", "echo done", "aws eks update-kubeconfig --name x", "./build.sh", "curl https://example.org/kubectl -o kubectl"),
    ],
)  # fmt: skip
def test_a_command_that_asks_is_not(create: str) -> None:
    assert told(resource("command:local:Command", create=create)) == []


def test_a_command_that_is_not_known_is_told_of() -> None:
    found = judge(changed(resource("command:local:Command", create=UNKNOWN)), "prod")
    assert [(j.rule, j.mandatory) for j in found] == [("nothing-unseen", False)]


def test_a_dynamic_resource_is_code_that_no_policy_sees() -> None:
    for type_ in (
        "pulumi-python:dynamic:Resource",
        "pulumi-nodejs:dynamic:Resource",
        "pulumi-python:dynamic/deploy:Deploy",
    ):
        assert "its code may deploy" in str(told(resource(type_))).replace("whose", "its")
    assert told(resource("random:index/randomPassword:RandomPassword", length=20)) == []


@pytest.mark.parametrize("name", ["keel.sh/policy", "image.openshift.io/triggers", "fluxcd.io/automated"])
def test_an_image_that_something_else_writes_later_is_refused(name: str) -> None:
    (message,) = told(annotated(DEPLOYMENT, **{name: "all"}))
    assert "something else changes its image later" in message
    assert (
        told(annotated(DEPLOYMENT, **{name: "false"}))
        == told(annotated(DEPLOYMENT, **{"reloader.stakater.com/auto": "true"}))
        == []
    )


# One object, two resources

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: prod}\ndata: {a: b}\n"
USES: dict[str, Any] = {"envFrom": [{"configMapRef": {"name": "settings"}}]}


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_a_patch_of_configuration_that_stands_behind_the_gate_is_refused(kind: str) -> None:
    text = CONFIG.replace("ConfigMap", kind).replace("\ndata", "\nstringData" if kind == "Secret" else "\ndata")
    uses = {"envFrom": [{"secretRef" if kind == "Secret" else "configMapRef": {"name": "settings"}}]}
    patch = {"data": {"a": "c"}, "metadata": {"name": "settings", "namespace": "prod"}}
    late = having_too(text, waits=[JOB])
    (first, *_) = told(late, running(DEPLOYMENT, **uses), resource(f"kubernetes:core/v1:{kind}Patch", **patch))
    assert "judged without it" in first or "before the migration" in first
    for_others = {**patch, "metadata": {"name": "other", "namespace": "prod"}}
    assert told(late, running(DEPLOYMENT, **uses), resource(f"kubernetes:core/v1:{kind}Patch", **for_others)) == []
    # The object itself may be another program's.
    assert "before the migration" in str(
        told(running(DEPLOYMENT, **uses), resource(f"kubernetes:core/v1:{kind}Patch", **patch))
    )


def test_two_resources_are_not_one_object() -> None:
    def twice(resources: Resources) -> None:
        copied(SERVICE, "again")(resources)
        resources["Service/again"].props["metadata"]["name"] = "api"
        resources["Service/again"].props["spec"]["selector"] = {"app": "canary"}

    assert "it is the same object as Service 'api'" in str(told(twice, rule="nothing-unseen"))
    assert told(copied(SERVICE, "again", having(SERVICE))) == []


@pytest.mark.parametrize(
    ("config", "early"),
    [
        ("{name: settings, namespace: prod}\ndata", False),
        ("{name: settings-7d4b9c2f, namespace: prod}\nimmutable: true\ndata", True),
        ("{name: settings-7d4b9c2f, namespace: prod}\ndata", False),
        ("{name: settings, namespace: prod}\nimmutable: true\ndata", False),
    ],
)
def test_configuration_that_never_changes_under_a_name_of_its_own_need_not_wait(config: str, early: bool) -> None:
    text = CONFIG.replace("{name: settings, namespace: prod}\ndata", config)
    name = config.partition("name: ")[2].partition(",")[0]
    found = told(having_too(text), running(DEPLOYMENT, envFrom=[{"configMapRef": {"name": name}}]))
    assert (found == []) is early


# Code that is not in the main image


def code(key: str, tag: str, *, volume: bool = False, mounted: bool = True) -> Change:
    def change(resources: Resources) -> None:
        spec = pod(resources[key])
        spec["volumes"] = [
            {
                "name": "code",
                **({"image": {"reference": f"ghcr.io/formancehq/code:{tag}"}} if volume else {"emptyDir": {}}),
            }
        ]
        own = [{"name": "code", "mountPath": "/code"}]
        spec["containers"][0] = {**spec["containers"][0], "volumeMounts": own if mounted else []}
        if not volume:
            first = {
                **spec["containers"][0],
                "name": "code",
                "image": f"ghcr.io/formancehq/code:{tag}",
                "args": ["cp"],
                "volumeMounts": own,
            }
            spec["initContainers"] = [
                {k: v for k, v in first.items() if k not in ("ports", "lifecycle", "readinessProbe", "livenessProbe")}
            ]

    return change


def test_code_that_an_init_container_copies_is_of_one_version() -> None:
    assert told(code(JOB, "7"), code(DEPLOYMENT, "7"), rule="gate") == []
    assert "its code comes from ghcr.io/formancehq/code:7" in str(
        told(code(JOB, "6"), code(DEPLOYMENT, "7"), rule="gate")
    )
    assert told(code(JOB, "6", mounted=False), code(DEPLOYMENT, "7", mounted=False), rule="gate") == [], (
        "something that waits"
    )


def test_code_that_is_mounted_as_an_image_is_of_one_version() -> None:
    assert told(code(JOB, "7", volume=True), code(DEPLOYMENT, "7", volume=True), rule="gate") == []
    assert told(code(JOB, "6", volume=True), code(DEPLOYMENT, "7", volume=True), rule="gate")


# What one version is


DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.mark.parametrize(
    ("job", "deployment", "same"),
    [
        (f"api:7.0.0@{DIGEST}", f"api@{DIGEST}", True),
        (f"api:7.0.0@{DIGEST}", f"api:seven@{DIGEST}", True),
        ("api:7.0.0-migrate", "api:7.0.0", True),
        ("api:7.0.0-migrations-alpine3.20", "api:7.0.0-slim", True),
        ("api:7.0.0-rc.1", "api:7.0.0", False),
        ("api:7.0.0-1", "api:7.0.0", False),
        (f"api:7.0.0@{DIGEST}", f"api:7.0.0@{OTHER}", False),
        ("api:6.0.0-migrate", "api:7.0.0", False),
    ],
)
def test_a_version_is_its_digest_or_its_tag_without_the_variant(job: str, deployment: str, same: bool) -> None:
    images = [
        running(key, image=f"ghcr.io/formancehq/{image}") for key, image in ((JOB, job), (DEPLOYMENT, deployment))
    ]
    for rule in ("gate", "whole-modules"):
        assert (told(*images, rule=rule) == []) is same


def test_the_second_half_of_a_change_in_two_comes_after_the_deployment() -> None:
    contract = copied(JOB, "api-7-contract", running(JOB, args=["migrate", "contract"]))
    after = having("Job/api-7-contract", waits=[DEPLOYMENT])
    assert told(contract, after) == []
    assert "does not wait for its migration Job 'api-7-contract'" in str(told(contract))
    assert told(having(DEPLOYMENT, waits=[]), having(JOB, waits=[DEPLOYMENT]), rule="gate"), (
        "the only migration comes too late"
    )


def test_two_providers_of_one_new_cluster_may_be_one() -> None:
    one, other = (Provider(f"urn:{n}", {"kubeconfig": UNKNOWN}) for n in ("a", "b"))
    resources = {key: having(key, provider=other) for key in (DEPLOYMENT, SERVICE, "PodDisruptionBudget/api")}
    assert told(*resources.values(), having(JOB, provider=one)) == []
    assert told(
        *resources.values(), having(JOB, provider=one), having(DEPLOYMENT, provider=other, waits=[]), rule="gate"
    )
    elsewhere = Provider("urn:c", {"kubeconfig": UNKNOWN, "context": "another"})
    here = Provider("urn:d", {"kubeconfig": UNKNOWN, "context": "prod"})
    both = {key: having(key, provider=here) for key in resources}
    assert "in another cluster" in str(told(*both.values(), having(JOB, provider=elsewhere), rule="gate"))


@pytest.mark.measures
@pytest.mark.parametrize("piece", ["kubectl ", "kubectl set", "/", "a/", "kubectl -n x ", "helm\n", "'"])
def test_a_megabyte_of_a_command_is_read_in_a_second(piece: str) -> None:
    judged = Program((Resource("command:local:Command", "x", "x", {"create": (piece * 1_000_000)[:1_000_000]}),))
    begun = time.process_time()
    list(nothing_unseen.RULE.judge(judged))
    assert time.process_time() - begun < 1
