"""What is not known, or has not the form of Kubernetes' API, is told of by the resource that it is in: no rule ends a preview."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from policies.rule import StackRule, Unknowable, Violation
from policies.rules import RULES
from policies.values import UNKNOWN, Program
from tests.unit.policies.good_program import (
    DEPLOYMENT,
    JOB,
    Change,
    Resources,
    changed,
    container,
    having_too,
    pod,
    running,
)
from tests.unit.policies.host import Host, host, told

MORE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: prod}
data: {a: b}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: st, namespace: prod}
spec:
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain}
  selector: {matchExpressions: [{key: a, operator: In, values: [b]}]}
  template: {metadata: {labels: {a: b}}, spec: {containers: []}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: h, namespace: prod}
spec: {minReplicas: 2, scaleTargetRef: {name: api}}
"""


def rich(resources: Resources) -> None:
    """Everything that rules look into."""
    pod(resources[DEPLOYMENT])["volumes"] = [{"name": "w", "projected": {"sources": [{"secret": {"name": "x"}}]}}]
    own = container(resources[DEPLOYMENT])
    own |= {"envFrom": [{"configMapRef": {"name": "c"}}], "command": ["x"]}
    own["securityContext"]["capabilities"]["add"] = ["NET_BIND_SERVICE"]


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from paths(inner, (*at, step))


def put(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    if isinstance(value, dict):
        return {k: put(v, at[1:], new) if k == at[0] else v for k, v in value.items()}
    return [put(v, at[1:], new) if n == at[0] else v for n, v in enumerate(value)]


def said(program: Program) -> Iterator[Violation | Unknowable]:
    for rule in RULES:
        if isinstance(rule, StackRule):
            yield from rule.judge(program)
        else:
            for r in program.resources:
                yield from rule.judge(r)


@pytest.mark.slow
@pytest.mark.parametrize(
    "odd", [UNKNOWN, None, "x", 0.0, True, [], {}, [UNKNOWN], {"x": UNKNOWN}, [None]], ids=lambda o: f"{o!r}"
)
def test_no_odd_value_anywhere_ends_a_preview(odd: Any) -> None:
    good = changed(having_too(MORE), rich)
    for n, r in enumerate(good.resources):
        for at in paths(r.props):
            props = put(r.props, at, odd)
            odd_one = Program(tuple(replace(x, props=props) if i == n else x for i, x in enumerate(good.resources)))
            found = list(said(odd_one))
            if "UNKNOWN" in repr(odd):
                strange = [
                    f for f in found if isinstance(f, Violation) and "expected form" in f.message and f.urn == r.urn
                ]
                assert strange == [], "what is not known yet is no mistake"


UNKNOWNS: dict[str, Change] = {
    "a volume": lambda r: pod(r[DEPLOYMENT]).update(volumes=[UNKNOWN]),
    "the selector's labels": lambda r: r[DEPLOYMENT].props["spec"]["selector"].update(matchLabels=UNKNOWN),
    "a capability": lambda r: container(r[DEPLOYMENT])["securityContext"]["capabilities"].update(add=[UNKNOWN]),
    "a container": lambda r: pod(r[DEPLOYMENT]).update(containers=[UNKNOWN]),
}
STRANGE: dict[str, Change] = {
    "a deadline that is a text": lambda r: r[JOB].props["spec"].update(activeDeadlineSeconds="600"),
    "replicas that are a text": lambda r: r[DEPLOYMENT].props["spec"].update(replicas="two"),
    "containers by name": lambda r: pod(r[DEPLOYMENT]).update(containers={"api": {}}),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", UNKNOWNS.values(), ids=UNKNOWNS)
def test_what_is_not_known_yet_is_advice(change: Change, production: Host) -> None:
    found = production.judge(changed(change))
    assert found
    assert [d.message for d in found if d.mandatory and "expected form" in d.message] == []


@pytest.mark.slow
@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE)
def test_what_has_another_form_is_refused_by_name(change: Change, production: Host) -> None:
    messages = [m for m in told(production, changed(change)) if "is not of the expected form" in m]
    assert messages
    assert all("'api" in m for m in messages)


@pytest.mark.slow
def test_what_cannot_be_completed_is_left_as_it_is() -> None:
    with host("dev") as development:
        for odd in (UNKNOWN, None, "x", [UNKNOWN]):
            for change in (running(DEPLOYMENT, securityContext=odd), _only_container(odd)):
                deployment = next(r for r in changed(change).resources if r.type.endswith("Deployment"))
                assert isinstance(development.remediate(deployment), list)


def _only_container(odd: Any) -> Change:
    return lambda resources: pod(resources[DEPLOYMENT]).update(containers=[odd])
