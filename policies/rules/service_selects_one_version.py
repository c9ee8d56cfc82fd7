"""A Service sends traffic to one version, the one this update deploys, once that is ready."""

from __future__ import annotations

from collections.abc import Iterator

from ..kubernetes import kind, selector
from ..migration import VERSION
from ..rule import Examples, Finding, Options, StackRule, title
from ..selection import selected
from ..values import Program, Resource, get

_VERSION_LABELS = (VERSION, "version")

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
    found = selected(program, service, select)
    if not found:
        yield Finding(
            f"it selects {wanted}, and nothing in this update has such pods: it would have no endpoints",
            "Select the labels of the Deployment that this program declares, its version among them",
        )
    elif len(found) > 1:
        yield Finding(
            f"it selects pods of {' and '.join(title(r) for r in found)}",
            f"Add the label that tells them apart, such as {VERSION}, to its selector",
        )
    else:
        yield from _after_it_is_ready(service, found[0], labels, program)


def _after_it_is_ready(
    service: Resource, deployment: Resource, labels: dict[str, str], program: Program
) -> Iterator[Finding]:
    own = (selector(deployment) or {}).get("matchLabels") or {}
    versioned = [name for name in _VERSION_LABELS if name in own]
    missing = [name for name in versioned if name not in labels]
    if missing:
        yield Finding(
            f"its selector lacks {missing[0]}, so that it also selects the version before {title(deployment)}, and this one before it is ready",
            f"Add {missing[0]}: {own[missing[0]]} to its selector",
        )
    if versioned and deployment.urn not in program.waits_for(service.urn):
        yield Finding(
            f"it would switch to {title(deployment)} before that is ready",
            "Add the Deployment to its depends_on",
        )


RULE = StackRule(
    name="service-selects-one-version",
    description="A Service selects the pods of one Deployment of this update, by its version where that has one, and waits for it.",
    reason="A Service is what makes a version serve. A selector of no pods is an outage, one of two versions sends traffic to what is not "
    "proven yet, and a switch that does not wait for the Deployment has no endpoints until it is ready.",
    severity="critical",
    examples=Examples(PASSES, FAILS),
    checks=(_one_version,),
)
