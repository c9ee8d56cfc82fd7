"""Which objects select which pods, without comparing each with each: a stack may have hundreds of both."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from .images import images
from .kubernetes import Nearby, is_serving, kind, known, matches, may_serve, object_name, place, pod_labels, selector
from .values import UNREADABLE, NotKnown, Program, Resource, get


@lru_cache(maxsize=4)
def _selectors(program: Program) -> tuple[Nearby[Resource], list[Resource]]:
    """Everything with a selector by place and one label it asks for, None where it asks for none; and those of which that is not known."""
    found: Nearby[Resource] = Nearby()
    unknown: list[Resource] = []
    for r in program.resources:
        try:
            select = selector(r)
            if select is not None:
                wanted = get(select, "matchLabels") or {}
                found.add(place(r), min(known(wanted, "matchLabels").items(), default=None), r)
        except UNREADABLE:
            unknown.append(r)
    return found, unknown


def may_select(program: Program, like: Resource, labels: Mapping[str, str]) -> list[Resource]:
    """The objects whose selectors may find pods with these labels in a resource's place; the few worth comparing."""
    by, unknown = _selectors(program)
    return by.at(place(like), *labels.items(), None) + [r for r in unknown if place(r).may_be(place(like))]


def perhaps_selects(program: Program, like: Resource, labels: Mapping[str, str]) -> list[Resource]:
    """Those of which it is not known whether they are in its place."""
    return _selectors(program)[0].perhaps(place(like), *labels.items(), None)


def selected(program: Program, like: Resource, select: Mapping[str, Any], *, perhaps: bool = False) -> list[Resource]:
    """The workloads in a resource's place whose pods a selector finds; ``perhaps``: those of which the place is not known."""
    first = min((get(select, "matchLabels") or {}).items(), default=None)
    by, _ = _serving(program)
    near = by.perhaps(place(like), first) if perhaps else by.at(place(like), first)
    return [r for r in near if matches(select, pod_labels(r))]


@lru_cache(maxsize=4)
def _serving(program: Program) -> tuple[Nearby[Resource], list[Resource]]:
    """Workloads by place and each label of their pods, and all of them under None; those of whose pods that is not known."""
    found: Nearby[Resource] = Nearby()
    unknown: list[Resource] = []
    for r in program.resources:
        if is_serving(r):
            try:
                for label in (*pod_labels(r).items(), None):
                    found.add(place(r), label, r)
            except UNREADABLE:
                unknown.append(r)
        elif may_serve(r):
            unknown.append(r)
    return found, unknown


def perhaps_selected(program: Program, like: Resource) -> list[Resource]:
    """The workloads whose pods any selector may find, as their labels are not known."""
    return [r for r in _serving(program)[1] if place(r).may_be(place(like))]


# Who scales, the field that says how far down, and what it means to leave that out.
_LEAST = {"HorizontalPodAutoscaler": ("minReplicas", 1.0), "keda.sh/ScaledObject": ("minReplicaCount", 0.0)}


def least_replicas(program: Program, like: Resource) -> float | None:
    """The fewest replicas that a workload's autoscaler keeps; None where it has no autoscaler.

    Raises:
        NotKnown: it is not known yet.
    """
    by, unknown = _autoscalers(program)
    scalers = by.nearest(place(like), (kind(like).rpartition("/")[2], object_name(like))) if by else []
    if not scalers:
        if any(place(other).may_be(place(like)) for other in unknown):
            raise NotKnown("the target of an autoscaler")
        return None
    scaler = scalers[0]
    field, default = _LEAST[kind(scaler)]
    least = scaler.get("spec", field)
    return default if least is None else float(least)


@lru_cache(maxsize=4)
def _autoscalers(program: Program) -> tuple[Nearby[Resource], list[Resource]]:
    """Autoscalers by the kind and name of what they scale; those of which that is not known."""
    found: Nearby[Resource] = Nearby()
    unknown: list[Resource] = []
    for r in program.resources:
        if kind(r) in _LEAST:
            try:
                target = r.get("spec", "scaleTargetRef", "kind") or "Deployment"
                found.add(place(r), (target, r.get("spec", "scaleTargetRef", "name")), r)
            except UNREADABLE:
                unknown.append(r)
    return found, unknown


# By which of its labels a pod is of one version: that of the name itself, and what tells blue from green.
_VERSIONS = frozenset(["version", "color", "colour", "slot", "revision", "generation", "commit", "sha", "build", "tag"])
_COLOURS = frozenset(["blue", "green"])


def is_version(name: str, value: object, tags: Collection[str | None]) -> bool:
    """Whether a label says of which version a pod is, of images with these tags."""
    return name.rpartition("/")[2] in _VERSIONS or value in _COLOURS or value in tags


def tells_version(workload: Resource) -> dict[str, Any]:
    """The labels of a workload's selector that say of which version its pods are."""
    tags = tags_of(workload)
    return {name: value for name, value in asked_for(selector(workload) or {}).items() if is_version(name, value, tags)}


def tags_of(workload: Resource) -> set[str | None]:
    """The tags of its images, none where they are not known."""
    try:
        return {image.tag for image in images(workload)}
    except NotKnown:
        return set()


def asked_for(select: Mapping[str, Any]) -> dict[str, Any]:
    """The labels of which a selector takes one value only."""
    of_one = {
        get(e, "key"): get(e, "values", 0)
        for e in get(select, "matchExpressions") or ()
        if get(e, "operator") == "In" and len(get(e, "values") or ()) == 1
    }
    return {**of_one, **(get(select, "matchLabels") or {})}
