"""A Service sends traffic to one version, the one this update deploys, once that is ready."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..kubernetes import annotation, is_headless, kind, matches, named, object_name, place, pod_labels, selector
from ..migration import PODS, SINGLETON, VERSION, serving
from ..rule import Examples, Finding, Options, StackRule, title
from ..selection import asked_for, is_version, perhaps_selected, selected, tags_of, tells_version
from ..values import NotKnown, Program, Resource, get

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
    here = selected(program, service, select)
    found = here or selected(program, service, select, perhaps=True)
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
    if is_headless(service):
        return
    if annotation(workload, SINGLETON) == "true" and any(map(_is_for_requests, service.get("spec", "ports") or ())):
        yield Finding(
            f"{title(workload)} is annotated {SINGLETON}, so nobody answers it while one version ends and the next starts",
            "Remove that annotation; a worker that others of the program talk to has a port of another name and number than HTTP's",
        )
    if kind(workload) == "Deployment":
        return  # which zero-downtime judges
    if annotation(workload, "pulumi.com/skipAwait") == "true" or annotation(workload, "pulumi.com/waitFor") is not None:
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


def _is_for_requests(port: Mapping[str, Any]) -> bool:
    said = str(get(port, "name") or get(port, "appProtocol") or "")
    return said.startswith("http") or get(port, "port") in (80, 443, 8080)


RULE = StackRule(
    name="service-selects-one-version",
    description="A Service selects the pods of one Deployment of this update, by its version where that has one, and waits for it.",
    reason="A Service is what makes a version serve. A selector of no pods is an outage, one of two versions sends traffic to what is not "
    "proven yet, and a switch that does not wait for the Deployment has no endpoints until it is ready. Where one Deployment is updated in place, the pods of the version that its Service still "
    "selects go before it switches.",
    severity="critical",
    examples=Examples(PASSES, FAILS),
    checks=(_one_version,),
)
