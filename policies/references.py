"""Which ConfigMaps and Secrets a workload's pods use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .kubernetes import containers, is_workload, kind, object_name, pod
from .values import NotKnown, Resource, get

Reference = tuple[str, str]  # kind, name


def _optional(kind_: str, value: Any, *path: str | int) -> Iterator[Reference]:
    """One reference; a name that is not known yet is found by the property's dependency instead."""
    try:
        name = get(value, *path)
    except NotKnown:
        return
    if name:
        yield kind_, str(name)


def references(resource: Resource) -> Iterator[Reference]:
    for container in containers(resource):
        for entry in get(container, "env") or ():
            yield from _optional("ConfigMap", entry, "valueFrom", "configMapKeyRef", "name")
            yield from _optional("Secret", entry, "valueFrom", "secretKeyRef", "name")
        for source in get(container, "envFrom") or ():
            yield from _optional("ConfigMap", source, "configMapRef", "name")
            yield from _optional("Secret", source, "secretRef", "name")
    for volume in get(pod(resource), "volumes") or ():
        yield from _volume(volume)


def _volume(volume: Mapping[str, Any]) -> Iterator[Reference]:
    yield from _optional("ConfigMap", volume, "configMap", "name")
    yield from _optional("Secret", volume, "secret", "secretName")
    for source in get(volume, "projected", "sources") or ():
        yield from _optional("ConfigMap", source, "configMap", "name")
        yield from _optional("Secret", source, "secret", "name")


def users(target: Resource, near: list[Resource]) -> list[Resource]:
    """The workloads among ``near`` that use a ConfigMap or Secret, by its name or by an output of it."""
    wanted = (kind(target), object_name(target) or "")
    return [
        r
        for r in near
        if is_workload(r)
        and (
            any(target.urn in urns for urns in r.property_dependencies.values())
            or any(reference == wanted for reference in references(r))
        )
    ]
