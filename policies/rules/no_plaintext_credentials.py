"""Credentials are in Secrets, not in manifests and ConfigMaps."""

from __future__ import annotations

from collections.abc import Iterator

from ..credentials import looks_like
from ..kubernetes import containers, is_workload, kind, named
from ..rule import Examples, Finding, Options, ResourceRule
from ..values import NotKnown, Resource, get

PASSES = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      containers:
        - name: ledger
          image: example.org/ledger:1.1.0
          env:
            - {name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: postgres, key: password}}}
            - {name: POSTGRES_URI, value: "postgresql://ledger:$(POSTGRES_PASSWORD)@db:5432/ledger"}
"""
FAILS = PASSES.replace("$(POSTGRES_PASSWORD)", "hunter2")
_INSTEAD = "Put it into a Secret and refer to it: valueFrom.secretKeyRef, or $(VARIABLE) of one"


def _environment(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource):
        return
    for container in containers(resource):
        for entry in get(container, "env") or ():
            try:
                name, value = str(get(entry, "name")), get(entry, "value")
            except NotKnown:
                continue  # not written in the program; once it is known, it is judged again
            what = None if name in options["allowed"] else looks_like(name, value)
            if what:
                yield Finding(f"{named(container)} has {what} in plain text in the variable {name}", _INSTEAD)
        for key in ("command", "args"):
            if any(looks_like("", word) for word in get(container, key) or ()):
                yield Finding(f"{named(container)} has a credential in plain text in its {key}", _INSTEAD)


def _configuration(resource: Resource, options: Options) -> Iterator[Finding]:
    if kind(resource) != "ConfigMap":
        return
    data = resource.get("data") or {}
    for name in data:
        try:
            value = get(data, name)
        except NotKnown:
            continue
        what = None if name in options["allowed"] else looks_like(name, value)
        if what:
            yield Finding(
                f"it has {what} under the key {name!r}", "Move the key to a Secret, with its value as a Pulumi secret"
            )


RULE = ResourceRule(
    name="no-plaintext-credentials",
    description="No credential stands in an environment variable, a command or a ConfigMap.",
    reason="Everybody who may read Deployments and ConfigMaps reads it, it is in the state and in every diff, and it stays in the history of "
    "ReplicaSets. Marking it as a Pulumi secret hides it from the state only.",
    severity="critical",
    options={
        "allowed": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "variables and keys that only look like credentials",
        }
    },
    examples=Examples(PASSES, FAILS),
    checks=(_environment, _configuration),
)
