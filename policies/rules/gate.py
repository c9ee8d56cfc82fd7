"""What serves a version stands behind the migration to that version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..images import Image, image_of
from ..kubernetes import kind, label
from ..migration import (
    DEFAULT_CONTAINER,
    MODULE,
    MODULE_VERSION,
    NAME,
    NO_DATABASE,
    VERSION,
    Container,
    images_of,
    is_migration,
    is_one,
    migrated,
    migrating,
    migrations_of,
    needs_gate,
    pairs,
)
from ..references import users
from ..rule import Examples, Finding, Options, StackRule, title
from ..values import NotKnown, Program, Resource

_JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: ledger-1-1-0-migrate}
pulumi: {name: ledger-1.1.0-migrate}
spec:
  template:
    spec:
      containers: [{name: migrate, image: example.org/ledger:1.1.0, args: [migrate]}]
---
"""
_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger-1-1-0}
pulumi: {name: ledger-1.1.0, dependsOn: [ledger-1.1.0-migrate]}
spec:
  selector: {matchLabels: {app: ledger, version: 1.1.0}}
  template:
    metadata: {labels: {app: ledger, version: 1.1.0}}
    spec:
      containers: [{name: ledger, image: example.org/ledger:1.1.0}]
"""
PASSES = _JOB + _DEPLOYMENT
FAILS = _JOB + _DEPLOYMENT.replace(", dependsOn: [ledger-1.1.0-migrate]", "")


def _same_image(workload: Resource, job: Resource, options: Options) -> bool:
    if any(image_of(migrates) == image_of(serves) for migrates, serves in pairs(workload, job)):
        return True
    only = {Image.parse(o).repository for o in options["migrationImages"]}
    return any(image.repository in only for image in images_of(migrating(job)))


def _written(several: Iterable[Container]) -> str:
    return ", ".join(
        f"{i.repository}{':' + i.tag if i.tag else ''}{'@' + i.digest if i.digest else ''}" for i in images_of(several)
    )


def _matching(workload: Resource, program: Program, options: Options) -> list[Resource]:
    version = label(workload, VERSION)
    return [
        job
        for job in migrations_of(workload, program)
        if _same_image(workload, job, options) and label(job, MODULE_VERSION) in (None, version)
    ]


def _behind_its_migration(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if not needs_gate(resource, program):
        return
    try:
        found = migrations_of(resource, program)
    except NotKnown:
        # Its image is not known before the update. Whether it waits for any migration at all is.
        if not any(u in program.by_urn and is_migration(program.by_urn[u]) for u in program.waits_for(resource.urn)):
            yield Finding(
                "it waits for no migration Job, and its image is not known yet",
                "Write the image as plain text, and list the migration Job of the same image in depends_on",
            )
        raise
    if not found:
        module = label(resource, NAME) or "MODULE"
        yield Finding(
            "there is no migration Job of its module in this program",
            f"Add a Job that runs {_written(migrated(resource, program))} with the argument migrate (or label yours {MODULE}: {module} and "
            f"rollout.formance.com/job: migrate), and list it in depends_on; without a database, annotate {NO_DATABASE}: 'true'",
        )
        return
    matching = _matching(resource, program, options)
    if not matching:
        job = found[0]
        versions = f"{label(job, MODULE_VERSION)} against {label(resource, VERSION)}"
        differ = _written(migrating(job)) if not _same_image(resource, job, options) else f"version {versions}"
        told = (
            f". Where it is another container, name that of the Job migrate, or annotate the pods {DEFAULT_CONTAINER}"
        )
        yield Finding(
            f"it runs {_written(migrated(resource, program))}, but its migration {title(job)} is for another: {differ}",
            "Give the Job and the Deployment the same image, by tag and digest, and the same version label"
            + ("" if is_one(migrating(job)) else told),
        )
        return
    if not {job.urn for job in matching} & program.waits_for(resource.urn):
        yield Finding(
            f"it does not wait for its migration {title(matching[0])}",
            "Add the Job to depends_on of the Deployment, or of something it depends on",
        )


def _not_by_property(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if not needs_gate(resource, program):
        return
    for name, urns in resource.property_dependencies.items():
        for job in (program.by_urn.get(u) for u in urns):
            if job is not None and kind(job) == "Job":
                yield Finding(
                    f"its {name} is made of an output of {title(job)}, so replacing the Job can delete the Deployment that serves",
                    "Write plain values, and order the two by depends_on alone",
                )


def _its_configuration_too(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """A ConfigMap or Secret that only gated workloads use; what the Job itself needs cannot wait for it."""
    if kind(resource) not in ("ConfigMap", "Secret"):
        return
    using = users(resource, program)
    if not using or not all(needs_gate(u, program) for u in using):
        return
    jobs = {job.urn: job for u in using for job in _matching(u, program, options)}
    if any(resource.urn in program.waits_for(job) for job in jobs):
        return
    if jobs and not jobs.keys() & program.waits_for(resource.urn):
        yield Finding(
            f"{title(using[0])} uses it, and it would change before the migration {title(next(iter(jobs.values())))} has succeeded",
            "Add the Job to its depends_on, and the version to its name",
        )


RULE = StackRule(
    name="gate",
    description="A Deployment, and the ConfigMaps and Secrets only it uses, wait for the migration of its module, version and image.",
    reason="Without the dependency the new version starts on the old schema, and a failed migration stops nothing. A property "
    "made of the Job's outputs gates as well, but a replaced Job then replaces the Deployment, the serving one first.",
    severity="critical",
    options={
        "migrationImages": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "repositories of images that only migrate; their version is told by labels",
        }
    },
    examples=Examples(PASSES, FAILS),
    checks=(_behind_its_migration, _not_by_property, _its_configuration_too),
)
