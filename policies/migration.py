"""What a migration Job is, in our components' programs and in any other.

A Job migrates a module's database when

- it carries the label ``rollout.formance.com/job: migrate``; the label ``rollout.formance.com/module`` says whose; or
- its command or arguments say ``migrate``, and it has no such label; it is that of the workloads in its place (cluster and
  namespace) that run its image repository.

What a command does is decided in ``commands``: a known tool migrates by its forward verbs, any other program by a word that has ``migrate``
for a part and none behind it by which tools look, prepare or go back.

Which of a Job's containers migrates, and for which of a workload's, is decided here too: a sidecar that both have is neither.

A Deployment without a database says so: annotation ``rollout.formance.com/no-database: "true"``; one whose database another program
migrates says ``elsewhere``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from .commands import Command, argv, read, read_known
from .databases import databases, in_arguments, is_access, is_address, is_name
from .images import Image, image_of
from .kubernetes import (
    Nearby,
    annotation,
    containers,
    is_operated,
    is_serving,
    kind,
    label,
    matches,
    patched,
    place,
    pod_labels,
    selector,
)
from .references import seen, variables
from .selection import may_select
from .values import UNKNOWN, UNREADABLE, NotKnown, Program, Resource, get

JOB = "rollout.formance.com/job"
MODULE = "rollout.formance.com/module"
MODULE_VERSION = "rollout.formance.com/version"
NO_DATABASE = "rollout.formance.com/no-database"
DRAINS = "rollout.formance.com/drains"
SINGLETON = "rollout.formance.com/singleton"
PODS = "rollout.formance.com/pods"
RECORD = "rollout.formance.com/record"
SQL = "rollout.formance.com/sql"
NAME = "app.kubernetes.io/name"
VERSION = "app.kubernetes.io/version"
# https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-default-container
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_WORD = "migrate"
# Ports of database servers and poolers: PostgreSQL, PgBouncer, CockroachDB, MySQL, SQL Server, MongoDB.
_DATABASE_PORTS = frozenset([5432, 6432, 26257, 3306, 33060, 1433, 27017])
# Kinds that serve a program, and are no database's own.
_APPLICATIONS = ("Deployment", "ReplicaSet", "ReplicationController")
_PART = "migrat"  # of a container's name: migrate, migration, migrator

Container = Mapping[str, Any]


def is_gate(resource: Resource) -> bool:
    """Whether a Job is one that others stand behind, judged by itself: our label, or it says ``migrate``."""
    return kind(resource) == "Job" and (_job(resource) is not None or _says_so(resource))


def is_migration(resource: Resource) -> bool:
    """Whether a Job migrates a database; of our own Jobs those that say so, not the one that creates the database."""
    if kind(resource) != "Job":
        return False
    job = _job(resource)
    return _says_so(resource) if job is None else job == _WORD


def _job(resource: Resource) -> str | None:
    """What its label says that it is. Labels that are not known hide nothing that says of itself that it migrates.

    Raises:
        NotKnown: it has the label, or may have it and does not say that it migrates.
    """
    try:
        return label(resource, JOB)
    except NotKnown:
        if JOB in (_known(get, resource.props, "metadata", "labels") or {}) or not _says_so(resource):
            raise
        return None


def _says_so(job: Resource) -> bool:
    """Whether one of the containers that end says ``migrate``.

    Raises:
        NotKnown: none does as far as is known, and not everything is.
    """
    return _any(partial(_says, container) for container in (*_first(job), *containers(job, init=False)))


def _says(container: Container) -> bool:
    return read(container).migrates


def changes_nothing(job: Resource, program: Program | None = None) -> bool:
    """Whether everything that a migration Job may run is known to migrate nothing: a label makes no gate of it.

    Raises:
        NotKnown: it does as far as is known, and not everything is.
    """
    return not _any(partial(_may_migrate, container, job, program) for container in migrating(job))


def _may_migrate(container: Container, job: Resource, program: Program | None) -> bool:
    found = read(container, seen(container, job, program) if program else None)
    return found.migrates or found.other


def goes_back(job: Resource, program: Program | None = None) -> bool:
    """Whether a command of a Job takes a migration back, as far as is known."""
    return any(
        (read_in(container, job, program) if program else read_known(container)).backwards
        for container in containers(job)
    )


def runs_a_file(container: Container) -> bool:
    """Whether a command names a file that is mounted."""
    said = " ".join(str(word) for word in argv(container) if word is not UNKNOWN)
    paths = [_known(get, m, "mountPath") for m in _known(get, container, "volumeMounts") or ()]
    # A folder of another name is one by which a file may be found: cd, workingDir.
    names = {str(path).strip("/").rpartition("/")[2] for path in paths if path}
    folder = str(_known(get, container, "workingDir") or "")
    return any(name and name in f"{said} {folder}" for name in names)


def read_in(container: Container, job: Resource, program: Program) -> Command:
    """What a container runs as far as is known, by what the whole program has for it."""
    return read_known(container, seen(container, job, program))


def _any(questions: Iterable[Callable[[], bool]]) -> bool:
    """Whether the answer to one of them is yes, also where others have none.

    Raises:
        NotKnown: it is yes to none that has one, and not all have one.
    """
    unknown: NotKnown | None = None
    for ask in questions:
        try:
            if ask():
                return True
        except NotKnown as e:
            unknown = e
    if unknown:
        raise unknown
    return False


def _first(job: Resource) -> list[Container]:
    """The containers that end before the others start. An init container that is always restarted is a sidecar.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    every, stay = containers(job), containers(job, init=False)
    return [c for c in every[: len(every) - len(stay)] if _known(get, c, "restartPolicy") != "Always"]


def migrating(job: Resource) -> list[Container]:
    """The containers of a migration Job that migrate: those that say so, else those named so, else any of them."""
    stay = containers(job, init=False)
    said = [c for c in stay if says_so(c)]
    if said:
        return said
    # A Job may migrate first and only report afterwards, or wait for a migration first: what runs later is not ruled out.
    first = [c for c in _first(job) if says_so(c)]
    named = [] if first else [c for c in stay if _PART in str(_known(get, c, "name")).lower()]
    return named or [*first, *stay]


def says_so(container: Container) -> bool:
    """Whether a container says that it migrates, as far as is known."""
    try:
        return _says(container)
    except NotKnown:
        return False  # the address that a proxy is given, for one; what migrates says so in plain text, or by its name


def certainly_migrates(container: Container) -> bool:
    """Whether a container migrates, whatever the values are that are not known: those of flags only."""
    words = argv(container)
    flagged = all(
        n and words[n - 1] is not UNKNOWN and str(words[n - 1]).startswith("-")
        for n, word in enumerate(words)
        if word is UNKNOWN
    )
    return flagged and says_so(container)


def serving(workload: Resource) -> Container | None:
    """The container of a workload that serves: its default one, that of its module's name, the first with a port, the first."""
    every = containers(workload, init=False)
    if len(every) > 1:
        for name in (_known(annotation, workload, DEFAULT_CONTAINER), _known(label, workload, NAME)):
            for container in every if name else ():
                if _known(get, container, "name") == name:
                    return container
        for container in every:
            ports = container.get("ports")
            if ports is UNKNOWN or ports:
                return container
    return every[0] if every else None


def _known(read: Callable[..., Any], *arguments: Any) -> Any:
    """What a reading finds, None where that is not known."""
    try:
        return read(*arguments)
    except NotKnown:
        return None


def pairs(workload: Resource, job: Resource) -> list[tuple[Container, Container]]:
    """Containers of a Job that migrate, each with one of a workload that has the same image repository, as far as is known.

    One that migrates does so for whichever container it pairs with. Where several may be the one that migrates, and a sidecar
    among them, only that which pairs with the container that serves can be told from a sidecar.

    Raises:
        NotKnown: there are none as far as is known, and not all images are.
    """
    migrate = migrating(job)
    if is_one(migrate):
        serve: list[Container] = containers(workload, init=False)
    else:
        main = serving(workload)
        serve = [main] if main else []
    found = [(m, s) for m in migrate for s in serve if _repository(m) is not None and _repository(m) == _repository(s)]
    if not found:
        images_of([*migrate, *serve])
    return found


def is_one(migrate: Iterable[Container]) -> bool:
    """Whether it is decided what migrates: one image repository."""
    return len({_repository(c) for c in migrate}) <= 1


def images_of(several: Iterable[Container]) -> list[Image]:
    """Raises:
    NotKnown: an image is not known.
    """
    return list(dict.fromkeys(image for image in map(image_of, several) if image))


def known_images(several: Iterable[Container]) -> list[Image]:
    """The images of which is known what they are."""
    return list(dict.fromkeys(image for image in (_known(image_of, c) for c in several) if image))


def _repository(container: Container) -> str | None:
    image = _known(image_of, container)
    return image.repository if image else None


def migrations_of(workload: Resource, program: Program) -> list[Resource]:
    """The migration Jobs of a workload's module: those labelled as its, else those that migrate for its image's repository.

    Where it is not known whether they are in its place, those that it waits for, or all that may be.

    Raises:
        NotKnown: none is as far as is known, and something by which its Jobs are told is not.
    """
    where, jobs = place(workload), _jobs(program)
    main = serving(workload)
    keys = [(MODULE, _known(label, workload, NAME)), ("image", _repository(main) if main else None)]
    for near in (jobs.at, jobs.perhaps):
        for key in keys:
            found = near(where, key) if key[1] else []
            if found:
                return found if near == jobs.at else _waited_for(workload, found, program)
        # A proxy may be what has the port, before an application that is migrated.
        others = [("image", _repository(c)) for c in containers(workload, init=False) if c is not main]
        behind = [job for key in others if key[1] for job in near(where, key)]
        found = list({job.urn: job for job in behind if pairs(workload, job)}.values())
        if found:
            return found if near == jobs.at else _waited_for(workload, found, program)
    label(workload, NAME)
    images_of(containers(workload, init=False))
    return []


def _waited_for(workload: Resource, jobs: list[Resource], program: Program) -> list[Resource]:
    return [job for job in jobs if job.urn in program.waits_for(workload.urn)] or jobs


def migrated(workload: Resource, program: Program) -> list[Container]:
    """The containers of a workload that its migrations migrate for; the one that serves, where none does."""
    found = [s for job in migrations_of(workload, program) for _, s in pairs(workload, job)]
    main = serving(workload)
    return found or ([main] if main else [])


@lru_cache(maxsize=4)
def _jobs(program: Program) -> Nearby[Resource]:
    """The migration Jobs by place and module or image; one of which that is not known does not count as a gate."""
    found: Nearby[Resource] = Nearby()
    for r in program.resources:
        try:
            if is_migration(r):
                keys = {("image", image.repository) for image in known_images(migrating(r))}
                for key in {*keys, (MODULE, _known(label, r, MODULE))}:
                    found.add(place(r), key, r)
        except UNREADABLE:
            continue
    return found


def needs_gate(resource: Resource, program: Program) -> bool:
    """Every application that does not say it has no database, and any other workload that has a migration Job.

    A StatefulSet or DaemonSet may be a database or an agent, and a Pod may be of no use to anybody: these are applications where they
    name a database that they use, or where a Service selects the Pod. A Patch is judged by the image that it sets.

    Raises:
        NotKnown: it may say that it has no database, and nothing that is known speaks against it; or nothing says that it has one, and not
            everything is known.
    """
    what = patched(resource) or kind(resource)
    serves = is_serving(resource) or (
        what in ("Pod", *_APPLICATIONS, "StatefulSet", "DaemonSet") and _sets_image(resource)
    )
    if not serves:
        return False
    has_one = [
        lambda: bool(migrations_of(resource, program)),
        lambda: bool(database_variables(resource, program)),
        lambda: what == "Pod" and _is_selected(resource, program),
    ]
    try:
        if says_no_database(resource):
            return False
    except NotKnown:
        # An exemption is believed in plain sight only, where the rest of the program says otherwise.
        return _any(has_one[:1] if _names_it(resource) else has_one) or says_no_database(resource)
    return what in _APPLICATIONS or ("/" in what and not is_operated(resource)) or _any(has_one)


def _names_it(resource: Resource) -> bool:
    """Whether it is annotated as one without a database, with a value that is not known yet."""
    annotations = _known(get, resource.props, "metadata", "annotations")
    return isinstance(annotations, Mapping) and NO_DATABASE in annotations


def says_no_database(resource: Resource) -> bool:
    """Whether it is annotated so. What its pods' annotations say is believed only where they are known.

    Raises:
        NotKnown: its own annotations are not known yet.
    """
    given = get(resource.props, "metadata", "annotations", NO_DATABASE)
    if given is None:
        given = _known(annotation, resource, NO_DATABASE)
    return str(given) in ("true", "elsewhere")


def _sets_image(patch: Resource) -> bool:
    return bool(images_of(containers(patch)))


def _is_selected(pod: Resource, program: Program) -> bool:
    labels = pod_labels(pod)
    near = (other for other in may_select(program, pod, labels) if kind(other) == "Service")
    return any(matches(selector(service) or {}, labels) for service in near)


def database_variables(workload: Resource, program: Program) -> list[str]:
    """What says that a workload uses a database: variables of any container, also out of ConfigMaps of the program, and addresses in
    arguments. Nothing of a container that may be the database itself.

    Raises:
        NotKnown: there is none as far as is known, and a variable may be an address.
    """
    found: list[str] = []
    unknown: set[str] = set()
    main = serving(workload)
    ports = [get(port, "containerPort") for port in get(main, "ports") or ()] if main else []
    if main is None or not _DATABASE_PORTS.isdisjoint(ports):
        return []
    for container in containers(workload, init=False):
        if container is not main and _is_server(container):
            continue
        given = _known(variables, container, workload, program) or _known(get, container, "env") or ()
        names = [str(_known(get, entry, "name")) for entry in given]
        # A database server is told by such a name which database to make.
        held = databases({"env": [entry for entry in given if entry is not UNKNOWN]})
        later = {name for name, value in held.items() if value is UNKNOWN and not is_name(name)}
        found += [name for name in held if name not in later and (not is_name(name) or ports)]
        found += [name for name in names if is_address(name) and (name not in held or name in later)]
        unknown |= {name for name in later if not is_address(name)}
        found += ["arguments" for _ in _known(in_arguments, container) or ()]
    if unknown and not found:
        raise NotKnown(f"env.{min(unknown)}")
    return found


# Images of proxies and poolers that speak for a database, by the last part of their repository.
_PROXY = re.compile(
    r".*(?:cloud-?sql-?proxy|gce-proxy|alloydb-auth-proxy|pgbouncer|pgcat|pgpool|odyssey|supavisor|proxysql|maxscale|rds-?proxy).*"
)


def reaches_a_database(workload: Resource, program: Program) -> list[str]:
    """What else says so: variables that have a server's host, and a proxy beside what serves.

    Nothing of a proxy that is itself what serves.

    Raises:
        NotKnown: there is none as far as is known, and a host may be empty, or an image a proxy's.
    """
    main = serving(workload)
    if main is None or _is_server(main) or _is_proxy(main):
        return []
    found: list[str] = []
    unknown = ""
    for container in containers(workload):
        if container is not main and _is_proxy(container):
            found.append(f"container {_known(get, container, 'name')!r}")
            continue
        given = _known(variables, container, workload, program) or _known(get, container, "env") or ()
        for entry in given:
            name = str(_known(get, entry, "name"))
            if is_access(name) and entry is not UNKNOWN and entry.get("value") is UNKNOWN:
                unknown = unknown or f"env.{name}"
            elif is_access(name) and _known(get, entry, "value") != "":
                found.append(name)
    if found:
        get(main, "image")
    elif unknown:
        raise NotKnown(unknown)
    return found


def _is_proxy(container: Container) -> bool:
    return _PROXY.fullmatch((_repository(container) or "").rpartition("/")[2]) is not None


def _is_server(container: Container) -> bool:
    ports = _known(get, container, "ports") or ()
    return not _DATABASE_PORTS.isdisjoint([_known(get, port, "containerPort") for port in ports])
