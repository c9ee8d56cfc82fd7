"""A migration migrates the database that its Deployment uses, with a command of its own, once that database is there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ..kubernetes import containers, kind, label, namespace
from ..migration import JOB, MODULE, is_migration, migrations_of, needs_gate
from ..rule import Examples, Finding, Options, StackRule, title
from ..values import NotKnown, Program, Resource, get

# A host may differ on purpose: a service behind a connection pooler, its migration directly at the server.
_DATABASE = ("POSTGRES_DATABASE", "POSTGRES_DB", "PGDATABASE", "DB_NAME", "DATABASE_NAME", "MYSQL_DATABASE")

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
    own = _environment(resource)
    for job in migrations_of(resource, program):
        theirs = _environment(job)
        for name in _DATABASE:
            if name in own and name in theirs and own[name] != theirs[name]:
                yield Finding(
                    f"its {name} is another than that of its migration {title(job)}, which would migrate a database nobody uses",
                    "Give both the same environment for the database",
                )


def _command_of_its_own(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if not needs_gate(resource, program):
        return
    runs = {_command(c) for c in containers(resource, init=False)}
    for job in migrations_of(resource, program):
        if any(_command(c) in runs for c in containers(job, init=False)):
            yield Finding(
                f"its migration {title(job)} runs the same command as it does, and so serves instead of migrating",
                "Give the Job the arguments that migrate, such as [migrate]",
            )


def _after_the_database(job: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """The Job that makes the database is one of our labels; a foreign program's database is there before."""
    if not is_migration(job) or label(job, MODULE) is None:
        return
    made_by = _makers_of_databases(program)
    for other in (*made_by.get((namespace(job), label(job, MODULE)), ()), *made_by.get(_WHO_KNOWS, ())):
        same = label(other, MODULE) == label(job, MODULE) and namespace(other) == namespace(job)
        if same and other.urn not in program.waits_for(job.urn):
            yield Finding(
                f"it does not wait for {title(other)}, which makes its database", "Add that Job to its depends_on"
            )


_WHO_KNOWS = ("", None)


@lru_cache(maxsize=4)
def _makers_of_databases(program: Program) -> dict[tuple[str, str | None], list[Resource]]:
    """The Jobs that make databases, by namespace and module; those of which that is not known apart."""
    found: dict[tuple[str, str | None], list[Resource]] = {}
    for r in program.resources:
        try:
            if kind(r) == "Job" and label(r, JOB) == "database":
                found.setdefault((namespace(r), label(r, MODULE)), []).append(r)
        except NotKnown:
            found.setdefault(_WHO_KNOWS, []).append(r)
    return found


def _environment(resource: Resource) -> dict[str, Any]:
    """The variables of all its containers: a value, or where it comes from."""
    found: dict[str, Any] = {}
    for container in containers(resource, init=False):
        for entry in get(container, "env") or ():
            if get(entry, "name") in _DATABASE:
                found[str(get(entry, "name"))] = get(entry, "value") or get(entry, "valueFrom")
    return found


def _command(container: Any) -> tuple[Any, ...]:
    return (get(container, "image"), tuple(get(container, "command") or ()), tuple(get(container, "args") or ()))


RULE = StackRule(
    name="migration-fits",
    description="A migration runs a command of its own against the database that its Deployment uses, once that is there.",
    reason="A Job can succeed without having done anything for the Deployment behind it: in another database, or by a command that does not "
    "migrate. The gate would open all the same.",
    severity="critical",
    examples=Examples(PASSES, FAILS),
    checks=(_same_database, _command_of_its_own, _after_the_database),
)
