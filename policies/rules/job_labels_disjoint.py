"""No selector finds the pods of a Job."""

from __future__ import annotations

from collections.abc import Iterator

from ..kubernetes import is_headless, kind, matches, pod_labels, selector
from ..rule import Examples, Finding, Options, StackRule, title
from ..selection import may_select, perhaps_selects
from ..values import NotKnown, Program, Resource

_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: ledger}
spec:
  selector: {app.kubernetes.io/name: ledger}
  ports: [{port: 8080}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: ledger-1-1-0-migrate}
spec:
  template:
    metadata: {labels: {rollout.formance.com/job: migrate}}
    spec:
      containers: [{name: migrate, image: example.org/ledger:1.1.0, args: [migrate]}]
"""
PASSES = _SERVICE
FAILS = _SERVICE.replace("{rollout.formance.com/job: migrate}", "{app.kubernetes.io/name: ledger}")


def _selected(job: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if kind(job) not in ("Job", "CronJob"):
        return
    labels = pod_labels(job)
    unknown: NotKnown | None = None
    for other in may_select(program, job, labels):
        try:
            select = selector(other)
            if select and matches(select, labels) and not _finds_each_other(job, other):
                yield Finding(
                    f"the selector of {title(other)} finds its pods too",
                    "Give the Job's pods labels of their own, such as rollout.formance.com/job: migrate, and none of the selector's",
                )
        except NotKnown as e:
            unknown = e
    for other in perhaps_selects(program, job, labels):
        unknown = unknown or NotKnown(f"metadata.namespace of {title(other)}")
    if unknown:
        raise unknown


def _finds_each_other(job: Resource, other: Resource) -> bool:
    """The pods of an Indexed Job know each other by a headless Service, which sends nobody to them.

    https://kubernetes.io/docs/tasks/job/job-with-pod-to-pod-communication/
    """
    return kind(other) == "Service" and is_headless(other) and job.get("spec", "completionMode") == "Indexed"


RULE = StackRule(
    name="job-labels-disjoint",
    description="The labels of a Job's or CronJob's pods match no selector of a Service, Deployment or PodDisruptionBudget.",
    reason="A migration's pod that a Service selects gets requests it cannot answer; one that a Deployment's selector finds is counted and "
    "scaled with its replicas (autoscalers then fail with FailedGetResourceMetric).",
    unseen="selectors of objects that another program declares, and labels that an admission webhook adds",
    severity="high",
    examples=Examples(PASSES, FAILS),
    checks=(_selected,),
)
