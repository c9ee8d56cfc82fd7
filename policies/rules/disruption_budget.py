"""Enough replicas, and a budget that lets nodes drain without an outage."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any

from ..kubernetes import annotation, kind, matches, pod_labels, selector
from ..migration import SINGLETON
from ..rule import Examples, Finding, Options, StackRule, title
from ..selection import least_replicas, may_select, perhaps_selects
from ..values import NotKnown, Program, Resource

_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger}
spec:
  replicas: 2
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      containers: [{name: ledger, image: example.org/ledger:1.1.0}]
---
"""
_BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: ledger}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: ledger}}}
"""
PASSES = _DEPLOYMENT + _BUDGET
FAILS = _DEPLOYMENT.removesuffix("---\n")


def _replicas(resource: Resource, program: Program) -> float:
    """What is asked for, or the least its autoscaler keeps."""
    least = least_replicas(program, resource)
    if least is not None:
        return least
    replicas = resource.get("spec", "replicas")
    return 1.0 if replicas is None else float(replicas)


def _enough(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if kind(resource) != "Deployment" or annotation(resource, SINGLETON) == "true":
        return
    replicas, least = _replicas(resource, program), options["minReplicas"]
    if replicas < least:
        yield Finding(
            f"it has {replicas:.0f} replica{'s' * (replicas != 1)}, and this environment asks for {least:.0f}",
            f"Set replicas to {least:.0f} or more",
        )
    elif replicas == 0:
        yield Finding("it has no replicas, so that it is ready without having started", "Set replicas to 1 or more")


def _budget(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if kind(resource) != "Deployment" or annotation(resource, SINGLETON) == "true" or _replicas(resource, program) < 2:
        return
    labels, replicas = pod_labels(resource), _replicas(resource, program)
    budgets = [
        other
        for other in may_select(program, resource, labels)
        if kind(other) == "PodDisruptionBudget" and matches(selector(other) or {}, labels)
    ]
    if not budgets and any(kind(o) == "PodDisruptionBudget" for o in perhaps_selects(program, resource, labels)):
        raise NotKnown("metadata.namespace of its PodDisruptionBudget")
    if not budgets:
        yield Finding(
            "no PodDisruptionBudget selects its pods, so draining nodes may evict all of them at once",
            "Add a PodDisruptionBudget with maxUnavailable: 1 and its labels",
        )
    if len(budgets) > 1:
        # https://kubernetes.io/docs/tasks/run-application/configure-pdb/#specifying-a-poddisruptionbudget
        yield Finding(
            f"{' and '.join(title(b) for b in budgets)} select its pods, and none can be evicted that has more than one",
            "Leave one of them",
        )
    for budget in budgets:
        evicted = _evicted(budget, replicas)
        if evicted <= 0:
            yield Finding(
                f"{title(budget)} allows no disruption of its {replicas:.0f} replicas, so no node that runs it can be drained",
                "Set maxUnavailable: 1 in the budget",
            )
        elif evicted >= replicas:
            yield Finding(
                f"{title(budget)} allows every one of its {replicas:.0f} replicas to be evicted at once",
                "Set maxUnavailable: 1 in the budget",
            )


def _evicted(budget: Resource, replicas: float) -> float:
    """How many of the pods it lets go at once. Kubernetes rounds percentages up, of those that go and of those that stay."""

    def pods(given: Any) -> float:
        return ceil(replicas * float(given[:-1]) / 100) if str(given).endswith("%") else float(given)

    most, least = budget.get("spec", "maxUnavailable"), budget.get("spec", "minAvailable")
    if most is not None:
        return pods(most)
    return replicas if least is None else replicas - pods(least)


RULE = StackRule(
    name="disruption-budget",
    description="A Deployment has the replicas its environment asks for, and one PodDisruptionBudget that lets some of them go and never all.",
    reason="A rollout needs a second pod to hand over to, and a drained node must not take the last one. A budget that allows nothing "
    "blocks the drain of its node for ever.",
    unseen="how many nodes there are and where the pods land, an autoscaler that another program declares, and pods of "
    "kinds other than Deployment",
    severity="medium",
    options={
        "minReplicas": {"type": "number", "default": 1, "description": "the least number of replicas of a Deployment"}
    },
    examples=Examples(PASSES, FAILS),
    checks=(_enough, _budget),
)
