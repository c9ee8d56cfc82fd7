"""The resources of a state, as ``pulumi stack export`` writes it: what is deployed is judged without running a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .values import UNKNOWN, Program, Provider, Resource

# https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go : how a state marks an encrypted value.
_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


def program(exported: Mapping[str, Any]) -> Program:
    """The resources of a state that are there to stay; an encrypted value counts as unknown.

    Raises:
        KeyError: it is no exported state.
    """
    kept = [r for r in exported["deployment"].get("resources") or () if not r.get("delete")]
    providers = {
        r["urn"]: Provider(r["urn"], _plain(r.get("inputs") or {}))
        for r in kept
        if r["type"].startswith("pulumi:providers:")
    }
    return Program(tuple(_resource(r, providers) for r in kept))


def _resource(r: Mapping[str, Any], providers: Mapping[str, Provider]) -> Resource:
    return Resource(
        r["type"],
        r["urn"].rpartition("::")[2],
        r["urn"],
        _plain(r.get("outputs") or {}),
        parent=r.get("parent", ""),
        component=not r.get("custom"),
        provider=providers.get(r.get("provider", "").rpartition("::")[0]),
        dependencies=tuple(r.get("dependencies") or ()),
        property_dependencies={k: tuple(v or ()) for k, v in (r.get("propertyDependencies") or {}).items()},
        protect=bool(r.get("protect")),
        secrets=frozenset(name for name, value in (r.get("outputs") or {}).items() if _is_secret(value)),
        aliases=tuple(r.get("aliases") or ()),
        timeouts=r.get("customTimeouts") or {},
    )


def _is_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get(_SIGNATURE) == _SECRET or any(map(_is_secret, value.values()))
    return isinstance(value, list) and any(map(_is_secret, value))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get(_SIGNATURE) == _SECRET:
            return UNKNOWN
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value
