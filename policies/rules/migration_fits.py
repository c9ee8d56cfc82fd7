"""A migration migrates the database that its Deployment uses, with a command of its own, once that database is there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ..commands import read_known
from ..databases import databases, in_words, is_name, may_be_one
from ..images import image_of
from ..kubernetes import Nearby, containers, kind, label, named, place
from ..migration import (
    JOB,
    MODULE,
    Container,
    changes_nothing,
    goes_back,
    is_migration,
    migrating,
    migrations_of,
    needs_gate,
    pairs,
    read_in,
    runs_a_file,
)
from ..references import variables
from ..rule import Examples, Finding, Options, StackRule, title
from ..values import UNKNOWN, UNREADABLE, NotKnown, Program, Resource, get

_PROGRAM = """
apiVersion: batch/v1
kind: Job
metadata: {name: ledger-1-1-0-migrate}
spec:
  template:
    spec:
      containers:
        - {name: migrate, image: example.org/ledger:1.1.0, args: [migrate], env: [{name: POSTGRES_DATABASE, value: dev-ledger}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger-1-1-0}
pulumi: {dependsOn: [ledger-1-1-0-migrate]}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      containers:
        - {name: ledger, image: example.org/ledger:1.1.0, args: [serve], env: [{name: POSTGRES_DATABASE, value: dev-ledger}]}
"""
PASSES = _PROGRAM
FAILS = _PROGRAM.replace(
    "args: [migrate], env: [{name: POSTGRES_DATABASE, value: dev-ledger}]",
    "args: [migrate], env: [{name: POSTGRES_DATABASE, value: test}]",
)


def _same_database(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if not needs_gate(resource, program):
        return
    unknown: set[str] = set()
    for job in migrations_of(resource, program):
        found = pairs(resource, job)
        # Where an image that only migrates has no counterpart, any container of the workload may use its database.
        migrates = [m for m, _ in found] or migrating(job)
        own = _environment([s for _, s in found] or containers(resource, init=False), resource, program)
        theirs = _environment(migrates, job, program)
        others = []
        for name in (n for n in own if n in theirs):
            values = (*own[name], *theirs[name])
            if UNKNOWN not in values:
                if not any(may_be_one(ours, its) for ours in own[name] for its in theirs[name]):
                    others.append(name)
            elif is_name(name) or any(v is not UNKNOWN for v in values):  # else it need not be a database at all
                unknown.add(name)
        ran = [words for container in migrates for words in read_in(container, job, program).ran]
        written = {name for words in ran for name in in_words(words)}
        ours_all = [value for values in own.values() for value in values]
        if (
            written
            and ours_all
            and not any(not isinstance(ours, str) or may_be_one(ours, its) for ours in ours_all for its in written)
        ):
            others.append("environment")
        if others:
            yield Finding(
                f"the database in its {' and '.join(others)} is another than in its migration {title(job)}, "
                "which would migrate a database nobody uses",
                "Give both the same environment for the database",
            )
    if unknown:
        raise NotKnown(f"env.{min(unknown)}")


def _command_of_its_own(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if not needs_gate(resource, program):
        return
    for job in migrations_of(resource, program):
        if any(_same_command(migrates, serves) for migrates, serves in pairs(resource, job)):
            yield Finding(
                f"its migration {title(job)} runs the same command as it does, and so serves instead of migrating",
                "Give the Job the arguments that migrate, such as [migrate]",
            )


def _forward(job: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if not is_migration(job):
        return
    if goes_back(job, program):
        yield Finding(
            "its command takes migrations back or deletes what they made, on which the version that serves depends",
            "Give it the arguments that migrate forward, such as [migrate]",
        )
    elif changes_nothing(job, program):
        yield Finding(
            "its command only looks at migrations, leaves them out or has nothing to do with them, and so succeeds without one",
            "Give it the arguments that migrate, such as [migrate]",
        )


def _tells_of_failure(job: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """That what the program itself has for the command ends as the migration does; the rest is judged by job-bounded."""
    if not is_migration(job):
        return
    for container in migrating(job):
        found, alone = read_in(container, job, program), read_known(container)
        if not runs_a_file(container) and (alone.hides or alone.unreadable):
            continue
        if found.hides or found.unreadable:
            why = found.hides or f"cannot be followed ({found.unreadable})"
            yield Finding(
                f"what {named(container)} runs {why}, so a failed migration may end as a successful one",
                "Let the script end with the migration, or begin it with set -euo pipefail",
            )


def _after_the_database(job: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """The Job that makes the database is one of our labels; a foreign program's database is there before."""
    if not is_migration(job) or label(job, MODULE) is None:
        return
    near, unknown = _makers_of_databases(program)
    for other in (*near.at(place(job), label(job, MODULE)), *unknown):
        same = place(other) == place(job) and label(other, MODULE) == label(job, MODULE)
        if same and other.urn not in program.waits_for(job.urn):
            yield Finding(
                f"it does not wait for {title(other)}, which makes its database", "Add that Job to its depends_on"
            )


@lru_cache(maxsize=4)
def _makers_of_databases(program: Program) -> tuple[Nearby[Resource], list[Resource]]:
    """The Jobs that make databases, by place and module; those of which that is not known apart."""
    found: Nearby[Resource] = Nearby()
    unknown: list[Resource] = []
    for r in program.resources:
        try:
            if kind(r) == "Job" and label(r, JOB) == "database":
                found.add(place(r), label(r, MODULE), r)
        except UNREADABLE:
            unknown.append(r)
    return found, unknown


def _environment(several: list[Container], like: Resource, program: Program) -> dict[str, list[Any]]:
    """What the variables of these containers of a resource say of their databases, by name."""
    found: dict[str, list[Any]] = {}
    for container in several:
        for name, value in databases({"env": variables(container, like, program)}).items():
            found.setdefault(name, []).append(value)
    return found


def _same_command(one: Container, other: Container) -> bool:
    """Whether two containers run the same of the same image.

    Raises:
        NotKnown: they do as far as is known, and not everything is.
    """
    if image_of(one) != image_of(other):
        return False
    unknown = ""
    for key in ("command", "args"):
        ours, its = list(get(one, key) or ()), list(get(other, key) or ())
        if len(ours) != len(its) or any(a != b and UNKNOWN not in (a, b) for a, b in zip(ours, its, strict=True)):
            return False
        if UNKNOWN in (*ours, *its):
            unknown = key
    if unknown:
        raise NotKnown(unknown)
    return True


RULE = StackRule(
    name="migration-fits",
    description="A migration runs a command of its own against the database that its Deployment uses, once that is there.",
    reason="A Job can succeed without having done anything for the Deployment behind it: in another database, or by a command that does not "
    "migrate. The gate would open all the same.",
    unseen="the database's name in a Secret or a file, a database by a variable of an unusual name and form, two servers that have a "
    "database of the same name, a search path that is set in SQL or by a role, and what a program does with arguments that are not "
    "known to it. A script is read where it stands in the command, in a ConfigMap or Secret of the program, or in a file that another "
    "script writes, not in the image or in a variable out of a Secret. Variables are known where the manifest, a ConfigMap of the program "
    "or the script itself sets them; an image may set others. `DRY_RUN` and its like mean what each program likes. `migrate goto 7` may go "
    "back, and passes",
    severity="critical",
    examples=Examples(PASSES, FAILS),
    checks=(_same_database, _command_of_its_own, _forward, _tells_of_failure, _after_the_database),
)
