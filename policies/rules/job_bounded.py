"""A migration Job ends by itself, is kept, and is awaited by the provider's own rules."""

from __future__ import annotations

from collections.abc import Iterator

from ..kubernetes import annotation, label, shortest_await, wait_for
from ..migration import JOB, is_gate
from ..rule import Examples, Finding, Options, ResourceRule
from ..values import Resource

PASSES = """
apiVersion: batch/v1
kind: Job
metadata: {name: ledger-1-1-0-migrate, annotations: {pulumi.com/timeoutSeconds: "660"}}
spec:
  activeDeadlineSeconds: 600
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: example.org/ledger:1.1.0, args: [migrate]}]
"""
FAILS = PASSES.replace("  activeDeadlineSeconds: 600\n", "  ttlSecondsAfterFinished: 30\n")


def _bounded(job: Resource, options: Options) -> Iterator[Finding]:
    if not is_gate(job):
        return
    deadline, most = job.get("spec", "activeDeadlineSeconds"), options["maxDeadlineSeconds"]
    if deadline is None:
        yield Finding(
            "it has no activeDeadlineSeconds, so a hanging migration is waited for without end",
            "Set spec.activeDeadlineSeconds, such as 600",
        )
    elif deadline > most:
        yield Finding(
            f"its activeDeadlineSeconds is {deadline:.0f}, above {most:.0f}",
            f"Set at most {most:.0f}, or raise maxDeadlineSeconds of this rule",
        )
    else:
        wait, phase = shortest_await(job, "create", "update")
        if wait <= deadline:
            yield Finding(
                f"Pulumi waits {wait:.0f} s for it, no longer than its deadline of {deadline:.0f} s, and would not hear how it ended",
                wait_for(job, phase, deadline + 60),
            )
    retries = job.get("spec", "backoffLimit")
    if retries is None or retries > options["maxBackoffLimit"]:
        given = "missing, which means 6" if retries is None else f"{retries:.0f}"
        yield Finding(
            f"its backoffLimit is {given}: a failing migration is repeated",
            f"Set spec.backoffLimit from 0 to {options['maxBackoffLimit']:.0f}",
        )


def _fails_for_good(job: Resource, options: Options) -> Iterator[Finding]:
    if not is_gate(job):
        return
    policy = job.get("spec", "template", "spec", "restartPolicy")
    if policy != "Never":
        yield Finding(
            f"its restartPolicy is {policy or 'missing'}, so the log of a failed attempt is lost with its container",
            "Set restartPolicy: Never",
        )
    for field in ("completions", "parallelism"):
        if job.get("spec", field) not in (None, 1):
            given = f"{job.get('spec', field):.0f}"
            yield Finding(f"its {field} is {given}, and a migration is one pod", f"Remove spec.{field}")
    if job.get("spec", "podFailurePolicy") is not None:
        yield Finding(
            "it has a podFailurePolicy; the provider does not recognise that failure and waits on",
            "Remove spec.podFailurePolicy; backoffLimit bounds the attempts",
        )


def _kept_and_awaited(job: Resource, options: Options) -> Iterator[Finding]:
    if not is_gate(job):
        return
    if job.get("spec", "ttlSecondsAfterFinished") is not None:
        yield Finding(
            "it has ttlSecondsAfterFinished; once it has vanished, a refresh makes the migration run again",
            "Remove it; Pulumi deletes the Job when its version goes",
        )
    if annotation(job, "pulumi.com/skipAwait") == "true":
        yield Finding(
            "it is annotated pulumi.com/skipAwait, so nothing waits for the migration", "Remove the annotation"
        )
    if annotation(job, "pulumi.com/waitFor") is not None:
        yield Finding(
            "it is annotated pulumi.com/waitFor, which replaces the provider's own await and can take a failed Job for a finished one",
            "Remove the annotation",
        )
    if label(job, JOB) is not None and annotation(job, "pulumi.com/replaceUnready") != "true":
        yield Finding(
            "it is not annotated pulumi.com/replaceUnready, so once it has failed every update only waits for the failed one",
            "Annotate pulumi.com/replaceUnready: 'true'",
        )
    if job.get("spec", "suspend") is True:
        yield Finding("it is suspended, so the migration never starts", "Remove spec.suspend")


RULE = ResourceRule(
    name="job-bounded",
    description="A migration Job has a deadline and at most two retries, is kept when it has ended, and is awaited.",
    reason="The await of a Job is the gate. It fails fast only for BackoffLimitExceeded and DeadlineExceeded; its own timeout begins again "
    "with every event; waitFor and skipAwait replace it. A TTL makes drift of a success.",
    severity="critical",
    options={
        "maxDeadlineSeconds": {"type": "number", "default": 86400, "description": "the longest a migration may take"},
        "maxBackoffLimit": {"type": "number", "default": 2, "description": "how often a failed pod may be tried again"},
    },
    examples=Examples(PASSES, FAILS),
    checks=(_bounded, _fails_for_good, _kept_and_awaited),
)
