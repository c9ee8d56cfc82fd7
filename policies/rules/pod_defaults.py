"""Fills in the safe values a pod leaves open. Changes and contradicts nothing that is written, and is off unless a configuration asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..kubernetes import is_partial, is_workload, pod, template_path
from ..rule import Examples, ResourceRule
from ..values import UNREADABLE, NotKnown, Resource, get
from .pod_security import PASSES

_Contradicts = Callable[[Any], bool]


def _as_root(spec: Any) -> bool:
    every = (get(spec, kind, n) for kind in _KINDS for n in range(len(get(spec, kind) or ())))
    return any(get(value, "securityContext", "runAsUser") == 0 for value in (spec, *every))


def _privileged(container: Any) -> bool:
    return bool(get(container, "securityContext", "privileged"))


def _escalates(container: Any) -> bool:
    """https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go : what is refused together."""
    added = get(container, "securityContext", "capabilities", "add") or ()
    return _privileged(container) or "CAP_SYS_ADMIN" in added or "SYS_ADMIN" in added


def _of_an_account(spec: Any) -> bool:
    return bool(get(spec, "serviceAccountName") or get(spec, "serviceAccount"))


def _never(value: Any) -> bool:
    return False


def _of_windows(spec: Any) -> bool:
    return (
        "windows" in (get(spec, "os", "name"), get(spec, "nodeSelector", "kubernetes.io/os"))
        or get(spec, "securityContext", "windowsOptions") is not None
    )


# Where it goes, what it is, and what is written that it would contradict.
_POD: tuple[tuple[tuple[str, ...], Any, _Contradicts], ...] = (
    (("automountServiceAccountToken",), False, _of_an_account),
    (("securityContext", "runAsNonRoot"), True, _as_root),
    (("securityContext", "seccompProfile"), {"type": "RuntimeDefault"}, _never),
)
_CONTAINER: tuple[tuple[tuple[str, ...], Any, _Contradicts], ...] = (
    (("securityContext", "allowPrivilegeEscalation"), False, _escalates),
    (("securityContext", "capabilities"), {"drop": ["ALL"]}, _privileged),
)
_KINDS = ("initContainers", "containers")
FAILS = PASSES.replace("      automountServiceAccountToken: false\n", "")


def _defaults(resource: Resource) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Path and value of everything to fill in."""
    if not is_workload(resource) or is_partial(resource):
        return
    try:
        spec, root = pod(resource), (*template_path(resource), "spec")
        if _of_windows(spec):
            return
        places: list[tuple[str | int, ...]] = [
            (kind, n) for kind in _KINDS for n in range(len(_read(spec, kind) or ()))
        ]
    except UNREADABLE:
        return
    for path, value, contradicts in _POD:
        yield from _missing(spec, root, path, value, contradicts)
    for place in places:
        container = _read(spec, *place)
        if isinstance(container, Mapping):
            for path, value, contradicts in _CONTAINER:
                yield from _missing(container, (*root, *place), path, value, contradicts)


def _read(spec: Any, *place: str | int) -> Any:
    try:
        return get(spec, *place)
    except NotKnown:
        return None


def _missing(
    value: Any, root: tuple[str | int, ...], path: tuple[str, ...], default: Any, contradicts: _Contradicts
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    try:
        around = get(value, *path[:-1])
        missing = isinstance(around, Mapping | None) and get(around, path[-1]) is None and not contradicts(value)
    except UNREADABLE:
        return  # what comes later may be meant, and the rules tell of what has another form
    if missing:
        yield (*root, *path), default


RULE = ResourceRule(
    name="pod-defaults",
    description="Pods that leave them open get runAsNonRoot, a seccomp profile, no capabilities and no API token.",
    reason="For environments where what people try out should be safe without effort. Not for production: there, what was reviewed is what "
    "runs, and a template changed here would run a Job that had succeeded again. What is written is not contradicted: privileged containers, "
    "runAsUser: 0, a serviceAccountName and pods for Windows stay as they are. An image that runs as root, such as nginx, does not start with "
    "these defaults; write runAsNonRoot: false for it.",
    unseen="what an admission webhook fills in, and pods that operators make",
    severity="low",
    level="disabled",
    examples=Examples(PASSES, FAILS),
    defaults=_defaults,
)
