"""A migration Job ends by itself, is kept, and is awaited by the provider's own rules."""

from __future__ import annotations

from collections.abc import Iterator

from ..commands import read_known
from ..kubernetes import label, named, own_annotation, shortest_await, wait_for
from ..migration import JOB, is_gate, is_migration, migrating, runs_a_file
from ..rule import Examples, Finding, Options, ResourceRule, every
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
_ONE_POD = {"completions": 1, "parallelism": 1, "completionMode": "NonIndexed"}
# https://github.com/pulumi/pulumi-kubernetes/blob/master/provider/pkg/await/checker/job/check.go knows two ways to fail:
# BackoffLimitExceeded and DeadlineExceeded.
_NOT_RECOGNISED = "the provider does not recognise that failure and waits on; backoffLimit bounds the attempts"
_OTHER_ENDS = {
    "podFailurePolicy": _NOT_RECOGNISED,
    "backoffLimitPerIndex": _NOT_RECOGNISED,
    "maxFailedIndexes": _NOT_RECOGNISED,
    "successPolicy": "it can succeed though a pod of it has failed",
    "managedBy": "another controller than that of Kubernetes decides whether and when it runs and how it ends",
    "manualSelector": "it may count the pods of another Job as its own, such as those of the version before",
}
FAILS = PASSES.replace("  activeDeadlineSeconds: 600\n", "  ttlSecondsAfterFinished: 30\n")


def _bounded(job: Resource, options: Options) -> Iterator[Finding]:
    if is_gate(job):
        yield from every(_deadline(job, options), _retries(job, options))


def _deadline(job: Resource, options: Options) -> Iterator[Finding]:
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
        # A Job is made anew for every change that matters: its update is awaited only where a program gives it a time.
        wait, phase = shortest_await(job, *(["create", "update"] if job.timeouts.get("update") else ["create"]))
        if wait <= deadline:
            yield Finding(
                f"Pulumi waits {wait:.0f} s for it, no longer than its deadline of {deadline:.0f} s, and would not hear how it ended",
                wait_for(job, phase, deadline + 60),
            )


def _retries(job: Resource, options: Options) -> Iterator[Finding]:
    retries = job.get("spec", "backoffLimit")
    if retries is None or retries > options["maxBackoffLimit"]:
        given = "missing, which means 6" if retries is None else f"{retries:.0f}"
        yield Finding(
            f"its backoffLimit is {given}: a failing migration is repeated",
            f"Set spec.backoffLimit from 0 to {options['maxBackoffLimit']:.0f}",
        )


def _fails_for_good(job: Resource, options: Options) -> Iterator[Finding]:
    if is_gate(job):
        yield from every(
            _ends(job),
            *(_is_one_pod(job, *one) for one in _ONE_POD.items()),
            *(_ends_as_usual(job, *one) for one in _OTHER_ENDS.items()),
        )


def _ends(job: Resource) -> Iterator[Finding]:
    policy = job.get("spec", "template", "spec", "restartPolicy")
    if policy != "Never":
        yield Finding(
            f"its restartPolicy is {policy or 'missing'}, so the log of a failed attempt is lost with its container",
            "Set restartPolicy: Never",
        )


def _is_one_pod(job: Resource, field: str, one: object) -> Iterator[Finding]:
    given = job.get("spec", field)
    if given not in (None, one):
        yield Finding(
            f"its {field} is {given if isinstance(given, str) else f'{given:.0f}'}, and a migration is one pod",
            f"Remove spec.{field}",
        )


def _ends_as_usual(job: Resource, field: str, why: str) -> Iterator[Finding]:
    if job.get("spec", field) not in (None, False):
        yield Finding(f"it has {field}; {why}", f"Remove spec.{field}")


def _tells_of_failure(job: Resource, options: Options) -> Iterator[Finding]:
    """That the shell which runs the migration ends as the migration does."""
    if not is_migration(job):
        return
    for container in migrating(job):
        if runs_a_file(container):
            continue  # which the program may have: migration-fits reads it
        found = read_known(container)
        if found.unreadable:
            yield Finding(
                f"the script of {named(container)} cannot be followed ({found.unreadable}), so a failed migration may end as a successful one",
                "Let the command be the migration alone, or put the script into the image",
            )
        elif found.hides:
            yield Finding(
                f"the command of {named(container)} {found.hides}, so a failed migration ends as a successful one",
                "Let the script end with the migration, or begin it with set -euo pipefail",
            )


def _kept_and_awaited(job: Resource, options: Options) -> Iterator[Finding]:
    if is_gate(job):
        yield from every(_kept(job), _is_awaited(job), _run_again(job), _started(job))


def _kept(job: Resource) -> Iterator[Finding]:
    if job.get("spec", "ttlSecondsAfterFinished") is not None:
        yield Finding(
            "it has ttlSecondsAfterFinished; once it has vanished, a refresh makes the migration run again",
            "Remove it; Pulumi deletes the Job when its version goes",
        )


def _is_awaited(job: Resource) -> Iterator[Finding]:
    if own_annotation(job, "pulumi.com/skipAwait") == "true":
        yield Finding(
            "it is annotated pulumi.com/skipAwait, so nothing waits for the migration", "Remove the annotation"
        )
    if own_annotation(job, "pulumi.com/waitFor") is not None:
        yield Finding(
            "it is annotated pulumi.com/waitFor, which replaces the provider's own await and can take a failed Job for a finished one",
            "Remove the annotation",
        )


def _run_again(job: Resource) -> Iterator[Finding]:
    if label(job, JOB) is not None and own_annotation(job, "pulumi.com/replaceUnready") != "true":
        yield Finding(
            "it is not annotated pulumi.com/replaceUnready, so once it has failed every update only waits for the failed one",
            "Annotate pulumi.com/replaceUnready: 'true'",
        )


def _started(job: Resource) -> Iterator[Finding]:
    if job.get("spec", "suspend") is True:
        yield Finding("it is suspended, so the migration never starts", "Remove spec.suspend")


RULE = ResourceRule(
    name="job-bounded",
    description="A migration Job has a deadline and at most two retries, fails when its command does, is kept when it has ended, and is awaited.",
    reason="The await of a Job is the gate. It fails fast only for BackoffLimitExceeded and DeadlineExceeded; its own timeout begins again "
    "with every event; waitFor and skipAwait replace it. A TTL makes drift of a success. Of a shell's script "
    "every way through it is followed: none may end well after a migration that failed, so the migration is what the script ends with, or `set -e` "
    "(with a pipe also `pipefail`), `&&` or its status stands behind it. A program in the language of an interpreter (`python -c`, `node -e`) is not "
    "followed: it may run another one only where it tells of its failure, and catch nothing. psql fails with a script only where ON_ERROR_STOP is set.",
    unseen="what a program in the image does with the failure of another, such as an entrypoint that goes on; whether a "
    "guard in a script lets the migration run at all, where it depends on what is not known; that a proxy beside the migration never ends, "
    "which the deadline bounds; a script in the image, or in a file that is mounted and not the program's",
    severity="critical",
    options={
        "maxDeadlineSeconds": {"type": "number", "default": 86400, "description": "the longest a migration may take"},
        "maxBackoffLimit": {"type": "number", "default": 2, "description": "how often a failed pod may be tried again"},
    },
    examples=Examples(PASSES, FAILS),
    checks=(_bounded, _fails_for_good, _tells_of_failure, _kept_and_awaited),
)
