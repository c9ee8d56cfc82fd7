"""What a migration Job is, in our components' programs and in any other.

A Job migrates a module's database when

- it carries the label ``rollout.formance.com/job: migrate``; the label ``rollout.formance.com/module`` says whose; or
- it runs the image repository of a workload in its namespace, and its command or arguments contain ``migrate``.

A Deployment without a database says so: annotation ``rollout.formance.com/no-database: "true"``.
"""

from __future__ import annotations

from functools import lru_cache

from .images import images
from .kubernetes import annotation, containers, is_serving, kind, label, namespace
from .values import NotKnown, Program, Resource, get

JOB = "rollout.formance.com/job"
MODULE = "rollout.formance.com/module"
MODULE_VERSION = "rollout.formance.com/version"
NO_DATABASE = "rollout.formance.com/no-database"
DRAINS = "rollout.formance.com/drains"
SINGLETON = "rollout.formance.com/singleton"
SQL = "rollout.formance.com/sql"
NAME = "app.kubernetes.io/name"
VERSION = "app.kubernetes.io/version"
_WORD = "migrate"


def words(resource: Resource) -> str:
    """Everything that the containers' commands and arguments say."""
    parts: list[str] = []
    for container in containers(resource):
        for key in ("command", "args"):
            parts += [str(get(container, key, n)) for n in range(len(get(container, key) or ()))]
    return " ".join(parts)


def is_gate(resource: Resource) -> bool:
    """Whether a Job is one that others stand behind, judged by itself: our label, or it says ``migrate``."""
    return kind(resource) == "Job" and (label(resource, JOB) is not None or _WORD in words(resource).lower())


def is_migration(resource: Resource) -> bool:
    """Whether a Job migrates a database; of our own Jobs those that say so, not the one that creates the database."""
    if kind(resource) != "Job":
        return False
    job = label(resource, JOB)
    return _WORD in words(resource).lower() if job is None else job == _WORD


def repositories(resource: Resource) -> set[str]:
    """Image repositories of the containers that stay (a sidecar's among them)."""
    return {image.repository for image in images(resource, init=False)}


def migrations_of(workload: Resource, program: Program) -> list[Resource]:
    """The migration Jobs of a workload's module: those labelled as its, else those that run its image's repository.

    Raises:
        NotKnown: the workload's image is not known, so its Jobs cannot be told.
    """
    where, jobs = namespace(workload), _jobs(program)
    labelled = jobs.get((where, MODULE, label(workload, NAME) or ""))
    if labelled:
        return labelled
    found = {job.urn: job for own in repositories(workload) for job in jobs.get((where, "image", own), [])}
    return list(found.values())


@lru_cache(maxsize=4)
def _jobs(program: Program) -> dict[tuple[str, str, str], list[Resource]]:
    """The migration Jobs by namespace and module or image; one of which that is not known does not count as a gate."""
    found: dict[tuple[str, str, str], list[Resource]] = {}
    for r in program.resources:
        try:
            if is_migration(r):
                module = label(r, MODULE)
                keys = [(MODULE, module)] if module else []
                for key in [*keys, *(("image", repository) for repository in repositories(r))]:
                    found.setdefault((namespace(r), *key), []).append(r)
        except NotKnown:
            continue
    return found


def needs_gate(resource: Resource, program: Program) -> bool:
    """Every Deployment that does not say it has no database, and any other workload whose image has a migration Job."""
    if not is_serving(resource) or annotation(resource, NO_DATABASE) == "true":
        return False
    return kind(resource) == "Deployment" or bool(migrations_of(resource, program))
