"""Containers say what they need and what they may take at most."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..kubernetes import containers, is_partial, is_workload, named
from ..rule import Examples, Finding, Options, ResourceRule, every, texts
from ..values import Resource, get

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
          resources: {requests: {cpu: 25m, memory: 64Mi}, limits: {memory: 256Mi}}
"""
FAILS = PASSES.replace("limits: {memory: 256Mi}", "limits: {}")
_ZERO = re.compile(r"0*(\.0*)?[a-zA-Z]*")


def _is_some(container: Mapping[str, Any], kind: str, name: str) -> bool:
    """Whether a quantity is given and not 0, which means none. A limit is also the request where there is no other.

    https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#requests-and-limits
    """
    given = get(container, "resources", kind, name)
    if given is None and kind == "requests":
        given = get(container, "resources", "limits", name)
    return given is not None and _ZERO.fullmatch(str(given)) is None


def _given(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource) or is_partial(resource):
        return
    yield from every(
        *(
            _has(container, kind, name, "25m" if name != "memory" else example)
            for container in containers(resource)
            for kind, example in (("requests", "64Mi"), ("limits", "256Mi"))
            for name in options[kind]
        )
    )


def _has(container: Mapping[str, Any], kind: str, name: str, example: str) -> Iterator[Finding]:
    if not _is_some(container, kind, name):
        yield Finding(f"{named(container)} has no {kind} of {name}", f"Set resources.{kind}.{name}, such as {example}")


RULE = ResourceRule(
    name="resources",
    description="Every container has requests of CPU and memory and a limit of memory.",
    reason="Without requests the scheduler packs a new version onto a node that cannot hold it, and it is evicted first; without a limit of "
    "memory one leak takes the node's other pods along. A limit of CPU is left out on purpose: it throttles what has room.",
    unseen="whether the numbers are right, and LimitRanges of the namespace",
    severity="medium",
    options={
        "requests": texts("resources that need a request", "cpu", "memory"),
        "limits": texts("resources that need a limit", "memory"),
    },
    examples=Examples(PASSES, FAILS),
    checks=(_given,),
)
