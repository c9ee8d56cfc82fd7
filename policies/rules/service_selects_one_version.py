"""A Service sends traffic to one version, the one this update deploys, once that is ready."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..kubernetes import (
    ROUTES,
    Nearby,
    annotation,
    containers,
    is_headless,
    kind,
    matches,
    named,
    object_name,
    own_annotation,
    place,
    pod_labels,
    selector,
)
from ..migration import PODS, SINGLETON, VERSION, serving
from ..rule import Examples, Finding, Options, StackRule, title
from ..selection import asked_for, is_version, perhaps_selected, selected, tags_of, tells_version
from ..values import UNKNOWN, UNREADABLE, NotKnown, Program, Resource, get

# Operators whose pods no program declares: CloudNativePG, Strimzi, Crunchy, StackGres, Zalando.
_OPERATORS = ("cnpg.io/", "strimzi.io/", "postgres-operator.crunchydata.com/", "stackgres.io/", "spilo-role")

_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger-1-1-0}
pulumi: {name: ledger-1.1.0}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: ledger, app.kubernetes.io/version: 1.1.0}}
  template:
    metadata: {labels: {app.kubernetes.io/name: ledger, app.kubernetes.io/version: 1.1.0}}
    spec:
      containers: [{name: ledger, image: example.org/ledger:1.1.0}]
---
"""
_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: ledger}
pulumi: {dependsOn: [ledger-1.1.0]}
spec:
  selector: {app.kubernetes.io/name: ledger, app.kubernetes.io/version: 1.1.0}
  ports: [{port: 8080}]
"""
PASSES = _DEPLOYMENT + _SERVICE
FAILS = _DEPLOYMENT + _SERVICE.replace("version: 1.1.0", "version: 1.2.0")


def _one_version(service: Resource, program: Program, options: Options) -> Iterator[Finding]:
    select = selector(service) if kind(service) == "Service" else None
    if select is None:
        return
    labels = get(select, "matchLabels")
    wanted = ", ".join(f"{k}={v}" for k, v in labels.items())
    here = _selected(service, select, program)
    found = here or _selected(service, select, program, perhaps=True)
    if not found:
        if _are_elsewhere(service, labels, program):
            return
        if perhaps_selected(program, service):
            raise NotKnown("the labels of its pods")
        yield Finding(
            f"it selects {wanted}, and nothing in this update has such pods: it would have no endpoints",
            "Select the labels of the Deployment that this program declares, its version among them; where an operator or another "
            f"program makes its pods, annotate {PODS}: elsewhere",
        )
    elif len(found) > 1:
        if not here:
            raise NotKnown("metadata.namespace")
        yield Finding(
            f"it selects pods of {' and '.join(title(r) for r in found)}",
            f"Add the label that tells them apart, such as {VERSION}, to its selector",
        )
    else:
        yield from _after_it_is_ready(service, found[0], labels, program)
        yield from _always_somebody(service, found[0])
        if not here:
            raise NotKnown("metadata.namespace")


# Labels that a controller or the pod itself sets when it runs: which of several it is, and whether it leads.
_AT_RUN_TIME = re.compile(
    r"statefulset\.kubernetes\.io/pod-name|apps\.kubernetes\.io/pod-index|controller-revision-hash|pod-template-hash|(.*[/-])?(role|leader|master|primary|active)"
    r"|vault-(active|initialized|sealed|perf-standby)|redis-role|spilo-role|leases?\..*|.*-leader"
)


def _selected(
    service: Resource, select: Mapping[str, Any], program: Program, *, perhaps: bool = False
) -> list[Resource]:
    """The workloads that it selects, also by labels that pods get only when they run: one of a StatefulSet, the leader of several."""
    found = selected(program, service, select, perhaps=perhaps)
    labels = get(select, "matchLabels")
    known = {name: value for name, value in labels.items() if not _AT_RUN_TIME.fullmatch(name)}
    if found or len(known) == len(labels):
        return found
    if known:
        return selected(program, service, {"matchLabels": known}, perhaps=perhaps)
    pod = labels.get("statefulset.kubernetes.io/pod-name")
    near = selected(program, service, {}, perhaps=perhaps) if pod else []
    return [r for r in near if kind(r) == "StatefulSet" and str(pod).rpartition("-")[0] == object_name(r)]


def _are_elsewhere(service: Resource, labels: dict[str, str], program: Program) -> bool:
    """Whether it is known that no Deployment makes the pods: an operator does, or a Job whose pods find each other so."""
    if annotation(service, PODS) == "elsewhere" or any(name.startswith(_OPERATORS) for name in labels):
        return True
    jobs = (
        r for r in program.resources if kind(r) == "Job" and is_headless(service) and place(r).may_be(place(service))
    )
    return any(matches({"matchLabels": labels}, pod_labels(job)) for job in jobs)


def _after_it_is_ready(
    service: Resource, deployment: Resource, labels: dict[str, str], program: Program
) -> Iterator[Finding]:
    own = asked_for(selector(deployment) or {})
    tags = tags_of(deployment)
    versioned = list(tells_version(deployment))
    missing = [name for name in versioned if name not in labels]
    if missing:
        yield Finding(
            f"its selector lacks {missing[0]}, so that it also selects the version before {title(deployment)}, and this one before it is ready",
            f"Add {missing[0]}: {own[missing[0]]} to its selector",
        )
    if _governs(service, deployment):
        return
    asked = [name for name, value in labels.items() if is_version(name, value, tags)]
    in_place = [name for name in asked if name not in own and not _is_named(deployment, labels[name])]
    if in_place:
        yield Finding(
            f"it selects {in_place[0]}={labels[in_place[0]]}, and {title(deployment)} is updated in place: the pods that it selects "
            "would be gone before it switches",
            f"Take {in_place[0]} out of its selector, or declare a Deployment per version, with it in its name and its selector",
        )
    elif (versioned or asked) and deployment.urn not in program.waits_for(service.urn):
        yield Finding(
            f"it would switch to {title(deployment)} before that is ready",
            "Add the Deployment to its depends_on",
        )


def _is_named(workload: Resource, version: object) -> bool:
    """Whether each version has a resource of its own: its name says which."""
    said, name = (re.sub(r"[^a-z0-9]+", "-", text.lower()) for text in (str(version), workload.name))
    return said in name


def _governs(service: Resource, workload: Resource) -> bool:
    """A StatefulSet's own Service names its pods, and so has to be there before them."""
    return (
        kind(workload) == "StatefulSet"
        and is_headless(service)
        and workload.get("spec", "serviceName") == object_name(service)
    )


def _always_somebody(service: Resource, workload: Resource) -> Iterator[Finding]:
    """Whether somebody answers while the workload is updated; who asks a headless Service asks single pods."""
    if service.get("spec", "publishNotReadyAddresses") is True and not _governs(service, workload):
        yield Finding(
            f"it has publishNotReadyAddresses, so it sends requests to {title(workload)} before that is ready",
            "Remove spec.publishNotReadyAddresses",
        )
    if kind(workload) != "Deployment" and workload.get("spec", "replicas") == 0:
        yield Finding(f"{title(workload)} has no replicas, so nobody answers it", "Set replicas to 1 or more")
    if is_headless(service):
        return
    if annotation(workload, SINGLETON) == "true" and any(
        _is_for_requests(p, workload) for p in service.get("spec", "ports") or ()
    ):
        yield Finding(
            f"{title(workload)} is annotated {SINGLETON}, so nobody answers it while one version ends and the next starts",
            "Remove that annotation; a worker that others of the program talk to has a port of another name and number than HTTP's",
        )
    if kind(workload) == "Deployment":
        return  # which zero-downtime judges
    if (
        own_annotation(workload, "pulumi.com/skipAwait") == "true"
        or own_annotation(workload, "pulumi.com/waitFor") is not None
    ):
        yield Finding(
            f"Pulumi does not wait until {title(workload)} is ready (pulumi.com/skipAwait or waitFor), so it would switch at once",
            "Remove that annotation",
        )
    main = serving(workload)
    if main is not None and get(main, "readinessProbe") is None:
        yield Finding(
            f"{named(main)} of {title(workload)} has no readinessProbe, so it gets requests as soon as its process runs",
            "Add readinessProbe",
        )


_OF_REQUESTS = re.compile(
    r"(https?|web|www|api|rest|public|frontend|ui|kubernetes\.io/(h2c|wss?))([-_]?\w+)?", re.IGNORECASE
)
_PORTS_OF_REQUESTS = (80, 443, 3000, 8000, 8080, 8443, 8888)


def _is_for_requests(port: Mapping[str, Any], workload: Resource) -> bool:
    """By its name and number, and by those of the container's port that it leads to."""
    target = get(port, "targetPort")
    held = [p for container in containers(workload, init=False) for p in get(container, "ports") or ()]
    behind = [p for p in held if target is not None and target in (get(p, "name"), get(p, "containerPort"))]
    names = [get(port, "name"), get(port, "appProtocol"), target, *(get(p, "name") for p in behind)]
    numbers = [get(port, "port"), target, *(get(p, "containerPort") for p in behind)]
    return any(isinstance(n, str) and _OF_REQUESTS.fullmatch(n) for n in names) or any(
        n in _PORTS_OF_REQUESTS for n in numbers
    )


def _routed_when_ready(route: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """A route to a Service, or a part of one, that is of one version: it switches as a Service's selector does."""
    if kind(route) not in ROUTES:
        return
    unknown: list[str] = []
    for name, subset in _backends(route, unknown):
        for service in _services(program).nearest(place(route), name):
            for deployment in _behind(service, subset, program):
                told = {*tells_version(deployment).values(), *tags_of(deployment)} - {None, ""}
                of_one = subset or any(_slug(str(value)) in _slug(name) for value in told)
                if of_one and deployment.urn not in program.waits_for(route.urn):
                    yield Finding(
                        f"it sends requests to {title(deployment)}, by {title(service)}, before that is ready",
                        f"Add {title(service)}, which waits for the Deployment, or the Deployment itself to its depends_on",
                    )
    if unknown:
        raise NotKnown(unknown[0])


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())


def _behind(service: Resource, subset: str, program: Program) -> list[Resource]:
    select = selector(service) or {}
    if not subset:
        return selected(program, service, select) if select else []
    labels = _subsets(program).nearest(place(service), (object_name(service), subset))
    return [
        r
        for more in labels
        for r in selected(program, service, {"matchLabels": {**(get(select, "matchLabels") or {}), **more}})
    ]


# Where routes of all those kinds name a Service.
_NAMED_BY = ("service", "serviceName", "host", "serviceRef")


def _backends(route: Resource, unknown: list[str]) -> Iterator[tuple[str, str]]:
    """The Services that a route sends requests to, and the subset of each; those without weight get none."""
    todo: list[tuple[str, Any]] = [("spec", route.props.get("spec"))]
    while todo:
        key, one = todo.pop()
        if isinstance(one, Mapping):
            if one.get("weight") == 0:
                continue
            subset = one.get("subset")
            for name in _NAMED_BY:
                yield from _one_backend(one.get(name), subset)
            if key in (
                "backendRefs",
                "services",
                "backendRef",
                "service",
                "serviceRef",
                "to",
                "alternateBackends",
                "backends",
            ):
                yield from _one_backend(one.get("name"), subset)
            todo += one.items()
        elif isinstance(one, list):
            todo += [(key, each) for each in one]
        elif one is UNKNOWN and key in ("spec", "rules", "http", "routes", "backendRefs"):
            unknown.append(key)


def _one_backend(name: Any, subset: Any) -> Iterator[tuple[str, str]]:
    """One that is not known is an output of the Service, and so waited for."""
    if isinstance(name, str):
        yield name.partition(":")[0].partition(".")[0], subset if isinstance(subset, str) else ""


@lru_cache(maxsize=4)
def _services(program: Program) -> Nearby[Resource]:
    found: Nearby[Resource] = Nearby()
    for r in program.resources:
        try:
            if kind(r) == "Service" and object_name(r):
                found.add(place(r), object_name(r), r)
        except UNREADABLE:
            continue
    return found


@lru_cache(maxsize=4)
def _subsets(program: Program) -> Nearby[Mapping[str, Any]]:
    """The labels of the subsets of Istio's DestinationRules, by Service and name."""
    found: Nearby[Mapping[str, Any]] = Nearby()
    for r in program.resources:
        if kind(r) == "networking.istio.io/DestinationRule":
            try:
                host = str(r.get("spec", "host")).partition(".")[0]
                for subset in r.get("spec", "subsets") or ():
                    found.add(place(r), (host, get(subset, "name")), dict(get(subset, "labels") or {}))
            except UNREADABLE:
                continue
    return found


RULE = StackRule(
    name="service-selects-one-version",
    description="A Service selects the pods of one Deployment of this update, by its version where that has one, and waits for it; so does a route to a Service of one version.",
    reason="A Service is what makes a version serve. A selector of no pods is an outage, one of two versions sends traffic to what is not "
    "proven yet, and a switch that does not wait for the Deployment has no endpoints until it is ready. Where one Deployment is updated in place, the pods of the version that its Service still "
    "selects go before it switches. An Ingress, HTTPRoute or VirtualService to a Service whose name has the version switches as well.",
    unseen="routes of kinds that it does not know, weights that a controller changes, clients that have a pod's address, "
    "and a Service that an operator or another program switches",
    severity="critical",
    examples=Examples(PASSES, FAILS),
    checks=(_one_version, _routed_when_ready),
)
