"""Fills in the safe values a pod leaves open. Changes nothing that is written, and is off unless a configuration asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..kubernetes import is_workload, pod, template_path
from ..rule import Examples, ResourceRule
from ..values import NotKnown, Resource, get
from .pod_security import PASSES

_POD: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("automountServiceAccountToken",), False),
    (("securityContext", "runAsNonRoot"), True),
    (("securityContext", "seccompProfile"), {"type": "RuntimeDefault"}),
)
_CONTAINER: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("securityContext", "allowPrivilegeEscalation"), False),
    (("securityContext", "capabilities"), {"drop": ["ALL"]}),
)
FAILS = PASSES.replace("      automountServiceAccountToken: false\n", "")


def _defaults(resource: Resource) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Path and value of everything to fill in."""
    if not is_workload(resource) or resource.type.endswith("Patch"):
        return
    try:
        spec, root = pod(resource), (*template_path(resource), "spec")
    except NotKnown:
        return
    for path, value in _POD:
        yield from _missing(spec, root, path, value)
    for kind in ("initContainers", "containers"):
        try:
            every = get(spec, kind) or ()
        except NotKnown:
            continue
        for n, container in enumerate(every):
            for path, value in _CONTAINER:
                yield from _missing(container, (*root, kind, n), path, value)


def _missing(
    value: Any, root: tuple[str | int, ...], path: tuple[str, ...], default: Any
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    try:
        if get(value, *path) is None:
            yield (*root, *path), default
    except NotKnown:
        return  # what comes later may be meant


RULE = ResourceRule(
    name="pod-defaults",
    description="Pods that leave them open get runAsNonRoot, a seccomp profile, no capabilities and no API token.",
    reason="For environments where what people try out should be safe without effort. Not for production: there, what was reviewed is what "
    "runs, and a template changed here would run a Job that had succeeded again.",
    severity="low",
    level="disabled",
    examples=Examples(PASSES, FAILS),
    defaults=_defaults,
)
