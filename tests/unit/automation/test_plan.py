"""What a plan says of each resource."""

from __future__ import annotations

from typing import Any

from automation.plan import Change, planned
from automation.plan import lines as plan_lines
from automation.steps import Run, Step
from components.redact import Redactor

STACK = "urn:pulumi:prod::rollout::rollout:index:Stack$rollout:index:Module$rollout:index:Release$"


def step(op: str, kind: str = "Deployment", version: str = "1.0.0", **more: Any) -> Step:
    name = more.pop("name", f"ledger-{version}")
    object_name = more.pop("object_name", name.replace(".", "-"))
    urn = f"{STACK}kubernetes:apps/v1:{kind}::{name}"
    return Step(urn, kind, name, "ledger", "release", op, "done", object_name, version, **more)


def deployment(version: str, **container: Any) -> dict[str, Any]:
    slug = version.replace(".", "-")
    return {
        "metadata": {"name": f"ledger-{slug}", "labels": {"app.kubernetes.io/version": version}},
        "spec": {
            "replicas": 2,
            "template": {
                "spec": {
                    "containers": [{"name": "ledger", "image": f"example.org/ledger:{version}", **container}],
                }
            },
        },
    }


def plan(*steps: Step, clean: Redactor | None = None) -> list[str]:
    return list(plan_lines(planned(Run(True, steps), clean or Redactor())))


def test_a_new_version_is_compared_with_the_one_it_takes_the_place_of() -> None:
    old = deployment("1.0.0", env=[{"name": "DEBUG", "value": "false"}, {"name": "GONE", "value": "x"}])
    new = deployment("1.1.0", env=[{"name": "NEW", "value": "y"}, {"name": "DEBUG", "value": "true"}])
    assert plan(step("create", version="1.1.0", new=new), step("delete", old=old)) == [
        "+ Deployment ledger-1-1-0 (compared with ledger-1-0-0)",
        "    spec.template.spec.containers[ledger].env[DEBUG].value: false -> true",
        '    spec.template.spec.containers[ledger].env[GONE]: {"name": "GONE", "value": "x"} -> (none)',
        '    spec.template.spec.containers[ledger].env[NEW]: (none) -> {"name": "NEW", "value": "y"}',
        "- Deployment ledger-1-0-0",
    ]


def test_what_differs_by_its_version_alone_is_no_change() -> None:
    steps = [
        step("create", version="1.1.0", new=deployment("1.1.0")),
        step("create", "PodDisruptionBudget", version="1.1.0"),
        step("delete", old=deployment("1.0.0")),
    ]
    assert plan(*steps) == [
        "+ Deployment ledger-1-1-0, PodDisruptionBudget ledger-1-1-0",
        "- Deployment ledger-1-0-0",
    ]


def test_what_looks_like_the_version_and_stays_is_no_change() -> None:
    old = deployment("1", args=["100m", "eu-west-1", "10.1.1.1"])
    new = deployment("2", args=["100m", "eu-west-1", "10.1.1.1"])
    assert plan(step("create", version="2", new=new), step("delete", version="1", old=old)) == [
        "+ Deployment ledger-2",
        "- Deployment ledger-1",
    ]


def test_what_differs_by_more_than_the_version_is_told_as_it_was() -> None:
    old, new = deployment("1.0.0", image="a/b:1.0.0@sha256:1"), deployment("1.1.0", image="a/b:1.1.0@sha256:2")
    assert plan(step("create", version="1.1.0", new=new), step("delete", old=old))[1] == (
        "    spec.template.spec.containers[ledger].image: a/b:1.0.0@sha256:1 -> a/b:1.1.0@sha256:2"
    )


def test_an_update_tells_each_property_and_a_long_text_by_its_lines() -> None:
    old = {"data": {"Caddyfile": "a\nb\nc\n", "app.yaml": "x"}}
    new = {"data": {"Caddyfile": "a\nB\nc\n", "app.yaml": "y"}}
    assert plan(step("update", "ConfigMap", old=old, new=new)) == [
        "~ ConfigMap ledger-1-0-0",
        "    data.Caddyfile:",
        "      -b",
        "      +B",
        '    data["app.yaml"]: x -> y',
    ]


def test_secrets_stay_out() -> None:
    clean = Redactor(["hunter2hunter2"])
    env = deployment("1.0.0", env=[{"name": "X", "value": "hunter2hunter2"}])
    steps = [
        step("update", old=deployment("1.0.0", env=[{"name": "X", "value": "a"}]), new=env),
        step("update", "Secret", name="s", old={"stringData": {"p": "plain1"}}, new={"stringData": {"p": "plain2"}}),
    ]
    told = "\n".join(plan(*steps, clean=clean))
    assert "a -> [secret]" in told
    assert "stringData.p: [secret] -> [secret]" in told
    assert "hunter2" not in told
    assert "plain" not in told


def test_a_secret_that_differs_is_told_though_both_sides_are_masked() -> None:
    masked = {"data": {"token": "[secret]"}}
    assert plan(step("update", "ConfigMap", old=masked, new=masked, differing=("data.token",))) == [
        "~ ConfigMap ledger-1-0-0",
        "    data.token: [secret] -> [secret]",
    ]


def test_a_value_that_only_the_update_will_know_is_called_so() -> None:
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert plan(step("update", "Service", old={"x": "1"}, new={"x": unknown}))[1] == (
        "    x: 1 -> (known after the update has begun)"
    )


def test_parts_of_a_replacement_are_one_line_and_what_stays_is_none() -> None:
    steps = [step("create-replacement"), step("replace", old={"a": 1}, new={"a": 2}), step("delete-replaced"), step("same", "Service")]  # fmt: skip
    assert plan(*steps) == ["± Deployment ledger-1-0-0", "    a: 1 -> 2"]


def test_of_texts_of_many_lines_what_differs_is_found_wherever_it_is() -> None:
    lines = [f"line {n}" for n in range(10_000)]
    changed = [*lines[:9000], "another", *lines[9001:]]
    assert list(Change("data", "\n".join(lines), "\n".join(changed)).lines()) == ["data:", "  -line 9000", "  +another"]
    told = list(Change("data", "\n".join(lines), "\n".join(f"new {n}" for n in range(10_000))).lines())
    assert told[-1] == "  ... and more"
    assert len(told) == 22
