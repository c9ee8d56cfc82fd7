"""Which ConfigMaps and Secrets a workload's pods use, and for what variables."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from .commands import surroundings
from .kubernetes import Nearby, containers, is_workload, kind, object_name, place, pod
from .shell import Surroundings
from .values import UNKNOWN, UNREADABLE, NotKnown, Program, Resource, get

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


def variables(container: Mapping[str, Any], like: Resource, program: Program) -> list[Any]:
    """The variables of a container, with the text of those that come out of ConfigMaps of this program, in Kubernetes' order."""
    found: list[Any] = []
    for source in get(container, "envFrom") or ():
        for _, name in _optional("ConfigMap", source, "configMapRef", "name"):
            prefix = get(source, "prefix") or ""
            found += [{"name": f"{prefix}{k}", "value": v} for k, v in _data(program, like, name).items()]
    for entry in get(container, "env") or ():
        for _, name in _optional("ConfigMap", entry, "valueFrom", "configMapKeyRef", "name"):
            held, key = _data(program, like, name), str(get(entry, "valueFrom", "configMapKeyRef", "key"))
            if key in held:
                entry = {"name": get(entry, "name"), "value": held[key]}
        found.append(entry)
    return found


def seen(container: Mapping[str, Any], like: Resource, program: Program) -> Surroundings:
    """What the whole program tells of a container: its variables and its files, as far as they are known."""
    try:
        entries = variables(container, like, program)
    except UNREADABLE:
        entries = None
    return surroundings(container, entries, mounted(container, like, program))


def mounted(container: Mapping[str, Any], like: Resource, program: Program) -> dict[str, str]:
    """The files that a container gets out of ConfigMaps and Secrets of this program -> their texts, as far as both are known."""
    found: dict[str, str] = {}
    try:
        volumes = {get(v, "name"): v for v in get(pod(like), "volumes") or ()}
        for mount in get(container, "volumeMounts") or ():
            volume = volumes.get(get(mount, "name"))
            for source in (volume, *(get(volume, "projected", "sources") or ())):
                for _, name in _optional("ConfigMap", source, "configMap", "name"):
                    found |= _files(mount, get(source, "configMap", "items"), _data(program, like, name))
                for key in ("name", "secretName"):
                    for _, name in _optional("Secret", source, "secret", key):
                        data = _data(program, like, name, "Secret")
                        found |= _files(mount, get(source, "secret", "items"), data)
    except UNREADABLE:
        pass  # of a volume that is not known nothing is known
    return found


def _files(mount: Mapping[str, Any], items: Any, data: Mapping[str, Any]) -> dict[str, str]:
    at, only = str(get(mount, "mountPath")).rstrip("/"), get(mount, "subPath")
    paths = {str(get(i, "path")): str(get(i, "key")) for i in items} if items else {key: key for key in data}
    held = {path: data[key] for path, key in paths.items() if isinstance(data.get(key), str)}
    if only:
        return {at: held[only]} if only in held else {}
    return {f"{at}/{path}": text for path, text in held.items()}


def _data(program: Program, like: Resource, name: str, kind_: str = "ConfigMap") -> Mapping[str, Any]:
    return next(iter(_held(program).nearest(place(like), (kind_, name))), {})


@lru_cache(maxsize=4)
def _held(program: Program) -> Nearby[Mapping[str, Any]]:
    """What is in ConfigMaps and Secrets, by place, kind and name."""
    found: Nearby[Mapping[str, Any]] = Nearby()
    for r in program.resources:
        if kind(r) in ("ConfigMap", "Secret"):
            try:
                data = dict(r.get("data") or {})
                if kind(r) == "Secret":
                    data = {key: _decoded(value) for key, value in data.items()} | dict(r.get("stringData") or {})
                found.add(place(r), (kind(r), object_name(r)), data)
            except UNREADABLE:
                continue
    return found


def _decoded(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True).decode() if isinstance(value, str) else value
    except (binascii.Error, UnicodeDecodeError):
        return None


def has_unknown_references(resource: Resource) -> bool:
    """Whether it may use a ConfigMap or Secret whose name is not known yet."""
    try:
        spec = pod(resource)
        several = [spec.get("volumes"), *(c.get(name) for c in containers(resource) for name in ("env", "envFrom"))]
    except UNREADABLE:
        return True
    return any(map(_names_unknown, several))


def _names_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_names_unknown(inner) for key, inner in value.items() if key not in ("value", "prefix"))
    return value is UNKNOWN or (isinstance(value, list) and any(map(_names_unknown, value)))


def users(target: Resource, program: Program) -> list[Resource]:
    """The workloads in a ConfigMap's or Secret's namespace that use it, by its name or by an output of it."""
    near, made_of = _uses(program)
    try:
        named = near.nearest(place(target), (kind(target).removesuffix("Patch"), object_name(target) or ""))
    except NotKnown:
        named = []  # who uses it then takes its name from its output
    return list({r.urn: r for r in [*named, *made_of.get(target.urn, [])]}.values())


@lru_cache(maxsize=4)
def _uses(program: Program) -> tuple[Nearby[Resource], dict[str, list[Resource]]]:
    """Workloads by what they use: by place, kind and name, and by the URN of the resource whose output they take."""
    near: Nearby[Resource] = Nearby()
    made_of: dict[str, list[Resource]] = {}
    for r in program.resources:
        if not is_workload(r):
            continue
        for urn in {urn for urns in r.property_dependencies.values() for urn in urns}:
            made_of.setdefault(urn, []).append(r)
        try:
            for reference in set(references(r)):
                near.add(place(r), reference, r)
        except UNREADABLE:
            pass  # a list of containers that is not known: whoever made it shows by its output
    return near, made_of
