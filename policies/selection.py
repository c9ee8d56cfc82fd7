"""Which objects select which pods, without comparing each with each: a stack may have hundreds of both."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .kubernetes import is_serving, kind, known, matches, object_name, place, pod_labels, selector
from .values import UNREADABLE, Program, Resource, get

_Place = tuple[str, tuple[str, Any] | None]  # a place, and a label


@lru_cache(maxsize=4)
def _selectors(program: Program) -> dict[_Place, list[Resource]]:
    """Everything with a selector by namespace and one label it asks for; None where it asks for none, or who knows."""
    found: dict[_Place, list[Resource]] = {}
    for r in program.resources:
        try:
            select = selector(r)
            if select is not None:
                wanted = get(select, "matchLabels") or {}
                first = min(known(wanted, "matchLabels").items(), default=None)
                found.setdefault((place(r), first), []).append(r)
        except UNREADABLE:
            found.setdefault(("", None), []).append(r)
    return found


def may_select(program: Program, like: Resource, labels: Mapping[str, str]) -> list[Resource]:
    """The objects whose selectors may find pods with these labels in a resource's namespace; the few worth comparing."""
    by, where = _selectors(program), place(like)
    return [r for key in (*labels.items(), None) for r in by.get((where, key), [])] + by.get(("", None), [])


def selected(program: Program, like: Resource, select: Mapping[str, Any]) -> list[Resource]:
    """The workloads in a resource's namespace whose pods a selector finds."""
    first = min((get(select, "matchLabels") or {}).items(), default=None)
    near = _serving(program).get((place(like), first), [])
    return [r for r in near if matches(select, pod_labels(r))]


@lru_cache(maxsize=4)
def _serving(program: Program) -> dict[_Place, list[Resource]]:
    """Workloads by namespace and each label of their pods, and all of them under None."""
    found: dict[_Place, list[Resource]] = {}
    for r in program.resources:
        if is_serving(r):
            try:
                for label in (*pod_labels(r).items(), None):
                    found.setdefault((place(r), label), []).append(r)
            except UNREADABLE:
                continue
    return found


# Who scales, the field that says how far down, and what it means to leave that out.
_LEAST = {"HorizontalPodAutoscaler": ("minReplicas", 1.0), "keda.sh/ScaledObject": ("minReplicaCount", 0.0)}


def least_replicas(program: Program, like: Resource) -> float | None:
    """The fewest replicas that a workload's autoscaler keeps; None where it has no autoscaler.

    Raises:
        NotKnown: it is not known yet.
    """
    scaler = _autoscalers(program).get((place(like), object_name(like)))
    if scaler is None:
        return None
    field, default = _LEAST[kind(scaler)]
    least = scaler.get("spec", field)
    return default if least is None else float(least)


@lru_cache(maxsize=4)
def _autoscalers(program: Program) -> dict[tuple[str, Any], Resource]:
    found: dict[tuple[str, Any], Resource] = {}
    for r in program.resources:
        if kind(r) in _LEAST:
            try:
                found[(place(r), r.get("spec", "scaleTargetRef", "name"))] = r
            except UNREADABLE:
                continue
    return found
