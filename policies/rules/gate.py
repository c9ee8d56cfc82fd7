"""What serves a version stands behind the migration to that version."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..images import Image
from ..kubernetes import (
    HOOKS,
    annotation,
    cluster,
    containers,
    held_containers,
    is_serving,
    is_workload,
    kind,
    label,
    may_be_cluster,
    named,
    object_name,
    patched,
    place,
    pod,
)
from ..migration import (
    DEFAULT_CONTAINER,
    JOB,
    MODULE,
    MODULE_VERSION,
    NAME,
    NO_DATABASE,
    RECORD,
    VERSION,
    certainly_migrates,
    changes_nothing,
    database_variables,
    goes_back,
    images_of,
    is_migration,
    is_one,
    known_images,
    migrated,
    migrating,
    migrations_of,
    needs_gate,
    pairs,
    reaches_a_database,
    says_no_database,
)
from ..references import has_unknown_references, users
from ..rule import Examples, Finding, Options, StackRule, every, texts, title
from ..values import NotKnown, Program, Resource, get

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


def _ahead(workload: Resource, job: Resource, options: Options) -> list[Image]:
    """The images that a workload runs and that its migration is not of, those that it runs first among them.

    Raises:
        NotKnown: there are none as far as is known, and not all images are.
    """
    found = pairs(workload, job)
    if not found:
        only = {Image.parse(o).repository for o in options["migrationImages"]}
        only_migrates = any(image.repository in only for image in images_of(migrating(job)))
        return [] if only_migrates else images_of(serves for serves in containers(workload, init=False))
    migrates = images_of(m for m, _ in found)
    repositories = {image.repository for image in migrates}
    first = containers(workload)[: -len(containers(workload, init=False))]
    served = [*images_of(s for _, s in found), *(i for i in known_images(first) if i.repository in repositories)]
    codes = {image.code for image in migrates}
    return [image for image in served if image.code not in codes]


def _written(several: Iterable[Image]) -> str:
    return ", ".join(
        f"{i.repository}{':' + i.tag if i.tag else ''}{'@' + i.digest if i.digest else ''}" for i in several
    )


def _matching(workload: Resource, program: Program, options: Options) -> tuple[list[Resource], NotKnown | None]:
    """The migrations to a workload's version, as far as is known, and what is not."""
    found: list[Resource] = []
    unknown: NotKnown | None = None
    for job in migrations_of(workload, program):
        try:
            if not _ahead(workload, job, options) and _is_of_its_version(job, workload):
                found.append(job)
        except NotKnown as e:
            unknown = e
    # The second half of a change in two: what contracts the schema comes when the new version serves.
    before = [job for job in found if not _comes_after(job, workload, program)]
    return before or ([] if unknown else found), unknown


def _comes_after(job: Resource, workload: Resource, program: Program) -> bool:
    return workload.urn in program.waits_for(job.urn)


def _behind_its_migration(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if not needs_gate(resource, program):
        return
    try:
        yield from _gated(resource, program, options)
    except NotKnown as unknown:
        # Which migration is its own is not known before the update. Whether it waits for one that may be is.
        if not any(_may_be_its(job, resource, options) for job in _waited_for(resource, program)):
            yield Finding(
                f"it waits for no migration Job that may be its own, and {unknown.path} is not known yet",
                "Write its image, names and labels as plain text, and list the migration Job of the same image in depends_on",
            )
        raise


def _waited_for(resource: Resource, program: Program) -> list[Resource]:
    waits = (program.by_urn.get(urn) for urn in program.waits_for(resource.urn))
    return [job for job in waits if job is not None and kind(job) == "Job"]


def _may_be_its(job: Resource, resource: Resource, options: Options) -> bool:
    """Whether nothing that is known says that a Job is not the migration of a workload, to its version."""
    if not place(job).may_be(place(resource)):
        return False
    checks: tuple[Callable[[], bool], ...] = (
        lambda: is_migration(job),
        lambda: not goes_back(job) and not changes_nothing(job),
        lambda: _is_of_its_version(job, resource),
        lambda: not _ahead(resource, job, options),
    )
    for holds in checks:
        try:
            if not holds():
                return False
        except NotKnown:
            continue
    return True


def _gated(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    found = migrations_of(resource, program)
    if not found:
        yield from _without_migration(resource, program, options)
        return
    matching, unknown = _matching(resource, program, options)
    if not matching:
        if unknown:
            raise unknown
        _may_wait_for_another(resource, found, program, options)
        job = found[0]
        ahead = _ahead(resource, job, options)
        if ahead:
            differ = _written(images_of(migrating(job)))
        else:
            differ = f"version {label(job, MODULE_VERSION)} against {label(resource, VERSION)}"
        told = ""
        if not pairs(resource, job):
            told = f". Where the Job's image only migrates, add its repository to migrationImages of this rule, and label the Job {MODULE_VERSION}"
        if not is_one(migrating(job)):
            told += f". Where it is another container, name that of the Job migrate, or annotate the pods {DEFAULT_CONTAINER}"
        runs = _written(ahead or images_of(migrated(resource, program)))
        yield Finding(
            f"it runs {runs}, but its migration {title(job)} is for another: {differ}",
            "Give the Job and the Deployment the same image, by tag and digest, and the same version label" + told,
        )
        return
    # A label makes a Job of any image one of the module's migrations.
    labelled = [
        job
        for job in (found if unknown is None else ())
        if _is_of_its_version(job, resource) and not pairs(resource, job) and not _comes_after(job, resource, program)
    ]
    missing = _not_waited_for(resource, {job.urn: job for job in (*matching, *labelled)}, program)
    if missing and all(_comes_after(job, resource, program) for job in missing):
        _may_wait_for_another(resource, found, program, options)
    if missing:
        yield Finding(
            f"it does not wait for its migration {' and '.join(map(title, missing))}",
            f"Add the Job{'s' * (len(missing) > 1)} to depends_on of the Deployment, or of something it depends on",
        )
    if unknown:
        raise unknown
    yield from _of_one_code(resource, matching)
    if not all(place(job) == place(resource) for job in matching):
        raise NotKnown("metadata.namespace" if cluster(resource) == cluster(matching[0]) else "its provider")


def _may_wait_for_another(resource: Resource, than: Sequence[Resource], program: Program, options: Options) -> None:
    """Raises:
    NotKnown: it waits for a Job that may be the one, by what is not known yet.
    """
    for job in _waited_for(resource, program):
        if job not in than and _may_be_its(job, resource, options):
            is_migration(job)
            images_of(containers(job))
            label(job, MODULE)
            if not place(job).sure:
                raise NotKnown("metadata.namespace")


def _is_of_its_version(job: Resource, workload: Resource) -> bool:
    version = label(job, MODULE_VERSION)
    return version is None or version == label(workload, VERSION)


def _not_waited_for(resource: Resource, jobs: Mapping[str, Resource], program: Program) -> list[Resource]:
    return [job for urn, job in jobs.items() if urn not in program.waits_for(resource.urn)]


def _without_migration(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """What to say of a workload whose migration is not there, or is not known to be one, or is in another place.

    Raises:
        NotKnown: it waits for a Job that may be the one, by what is not known yet.
    """
    _may_wait_for_another(resource, (), program, options)
    own, module = images_of(migrated(resource, program)), label(resource, NAME)
    repositories = {image.repository for image in own}
    for job in program.resources:
        if kind(job) == "Job" and not may_be_cluster(cluster(job), cluster(resource)):
            try:
                there = is_migration(job) and not repositories.isdisjoint(
                    i.repository for i in known_images(containers(job))
                )
            except NotKnown:
                continue
            if there:
                yield Finding(f"its migration {title(job)} is in another cluster", "Give both the same provider")
                return
    yield Finding(
        "there is no migration Job of its module in this program",
        f"Add a Job that runs {_written(own)} with the argument migrate (or label yours {MODULE}: {module or 'MODULE'} and "
        f"rollout.formance.com/job: migrate, and where its image only migrates, add that to migrationImages of this rule and label the Job {MODULE_VERSION}), and list it "
        f"in depends_on; without a database, annotate {NO_DATABASE}: 'true'",
    )


def _not_behind_its_back(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """A migration by a workload that is no Job: nothing can stand behind it."""
    if "/" in kind(resource) and not is_workload(resource):
        for held in held_containers(resource.props):
            if certainly_migrates(held):
                yield Finding(
                    f"{named(held)} migrates, and Pulumi does not wait until a {kind(resource).rpartition('/')[2]} has succeeded",
                    "Let a Job migrate, and list that in depends_on",
                )
    if not is_workload(resource) or "Job" in (kind(resource), patched(resource)):
        return
    try:
        if label(resource, JOB) not in (None, "migrate"):
            return
    except NotKnown:
        # An exemption is believed in plain sight only.
        if JOB in (_list(resource.props, "metadata", "labels") or {}):
            raise
    for container in containers(resource):
        hooks = [
            ".".join(hook)
            for hook in HOOKS
            if certainly_migrates({"command": _list(container, *hook, "exec", "command")})
        ]
        if certainly_migrates(container) or hooks:
            yield Finding(
                f"{f'{hooks[0]} of ' if hooks else ''}{named(container)} migrates, whenever one of its pods starts and whatever serves then",
                "Let a Job migrate, and list that in depends_on; where it says migrate and does not, label it rollout.formance.com/job: other",
            )


def _list(value: Mapping[str, Any], *path: str) -> Any:
    try:
        return get(value, *path)
    except NotKnown:
        return None


def _without_a_database(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """What is said against the annotation by the rest of the program."""
    if not is_serving(resource) or not says_no_database(resource):
        return
    said = f"it is annotated {NO_DATABASE}: {annotation(resource, NO_DATABASE)!r}"
    yield from every(_against_its_jobs(resource, program, said), _against_its_variables(resource, program, said))


def _against_its_jobs(resource: Resource, program: Program, said: str) -> Iterator[Finding]:
    for job in migrations_of(resource, program)[:1]:
        yield Finding(
            f"{said}, and {title(job)} migrates for it", "Remove the annotation and list the Job in depends_on"
        )


def _against_its_variables(resource: Resource, program: Program, said: str) -> Iterator[Finding]:
    if annotation(resource, NO_DATABASE) != "true" or _known_migrations(resource, program):
        return
    yield from every(
        _against_them(said, "names", lambda: database_variables(resource, program)),
        _against_them(said, "reaches", lambda: reaches_a_database(resource, program)),
    )


def _against_them(said: str, does: str, names: Callable[[], list[str]]) -> Iterator[Finding]:
    for name in names()[:1]:
        yield Finding(
            f"{said}, and its {name} {does} one",
            f"Remove the annotation and add its migration Job; where another program migrates that database, annotate {NO_DATABASE}: elsewhere",
        )


def _known_migrations(resource: Resource, program: Program) -> list[Resource]:
    try:
        return migrations_of(resource, program)
    except NotKnown:
        return []


def _recorded_afterwards(record: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """Our record of a database's version is believed by the next update."""
    if kind(record) != "ConfigMap" or label(record, RECORD) is None:
        return
    for job in migrations_of(record, program):
        if label(job, MODULE_VERSION) == label(record, MODULE_VERSION) and job.urn not in program.waits_for(record.urn):
            yield Finding(
                f"it records the migration {title(job)} before that has succeeded", "Add the Job to its depends_on"
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
    """A ConfigMap or Secret that of what serves only gated workloads use; what the Job itself needs cannot wait for it."""
    if kind(resource).removesuffix("Patch") not in ("ConfigMap", "Secret") or _is_of_one_version(resource):
        return
    every = users(resource, program)
    using, early = [u for u in every if is_serving(u)], {u.urn for u in every if kind(u) == "Job"}
    if not using or not all(needs_gate(u, program) for u in using):
        return
    jobs = {job.urn: job for u in using for job in _matching(u, program, options)[0]}
    if any(resource.urn in (before := program.waits_for(job)) or early & {job, *before} for job in jobs):
        return
    missing = _not_waited_for(resource, jobs, program)
    for job in missing:
        if not place(job).sure or has_unknown_references(job):
            raise NotKnown(f"what {title(job)} uses")  # which may be this, and then it cannot wait
    if missing:
        yield Finding(
            f"{title(using[0])} uses it, and it would change before the migration {' and '.join(map(title, missing))} has succeeded",
            "Add the Job to its depends_on, and the version to its name",
        )


# What ends a name that is made of what it names: a hash, with or without digits, or a version.
_HASHED = re.compile(r".*[-.](?=[a-z0-9]*\d)([0-9a-f]{6,64}|[bcdfghjklmnpqrstvwxz2456789]{8,10})")


def _is_of_one_version(config: Resource) -> bool:
    """Whether what served before cannot be using it: it never changes, and its name is made of what it holds."""
    if config.get("immutable") is not True:
        return False
    name = object_name(config)
    return name is None or _HASHED.fullmatch(name) is not None


def _of_one_code(resource: Resource, jobs: Iterable[Resource]) -> Iterator[Finding]:
    """Code that a container does not have from its own image: copied by an init container, or mounted as an image."""
    for job in jobs:
        for migrates, serves in pairs(resource, job):
            theirs, own = _code(job, migrates), _code(resource, serves)
            for repository in own.keys() & theirs.keys():
                if own[repository].code != theirs[repository].code:
                    yield Finding(
                        f"its code comes from {_written([own[repository]])}, and that of its migration {title(job)} from another: "
                        f"{_written([theirs[repository]])}",
                        "Give the Job and the Deployment the same image there too",
                    )


def _code(resource: Resource, container: Mapping[str, Any]) -> dict[str, Image]:
    """The images out of which a container has files, by repository."""
    mounts = {get(m, "name") for m in get(container, "volumeMounts") or ()}
    found = [
        get(volume, "image", "reference")
        for volume in get(pod(resource), "volumes") or ()
        if get(volume, "name") in mounts
    ]
    for first in get(pod(resource), "initContainers") or ():
        if get(first, "restartPolicy") != "Always" and any(
            get(m, "name") in mounts for m in get(first, "volumeMounts") or ()
        ):
            found.append(get(first, "image"))
    return {image.repository: image for image in (Image.parse(str(text)) for text in found if text)}


RULE = StackRule(
    name="gate",
    description="A Deployment, and the ConfigMaps and Secrets only it uses, wait for the migration of its module, version and image.",
    reason="Without the dependency the new version starts on the old schema, and a failed migration stops nothing. A property "
    "made of the Job's outputs gates as well, but a replaced Job then replaces the Deployment, the serving one first.",
    unseen="whether what is behind a label, an annotation or an entrypoint of the image is true; a database of which "
    "nothing in the program speaks but a Secret or a file; a workload that another program declares; a CronJob or "
    "worker of kinds that end, unless it migrates. Where a namespace, a cluster or an image is not known yet, Jobs "
    "and workloads that may belong together count as belonging together, and that is told as advice. Annotations "
    "that are not known yet exempt nothing where the program names a database or has a migration of the same image",
    severity="critical",
    options={
        "migrationImages": texts("repositories of images that only migrate; their version is told by labels"),
    },
    examples=Examples(PASSES, FAILS),
    checks=(
        _behind_its_migration,
        _not_by_property,
        _its_configuration_too,
        _not_behind_its_back,
        _without_a_database,
        _recorded_afterwards,
    ),
)
