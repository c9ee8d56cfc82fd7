"""The checkpoint file as plain JSON (``apitype.CheckpointV3``): enough for commands that run no update."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from offline.engine import VERSION
from offline.engine.errors import EngineError, IntegrityError, NotCovered

MAGIC: Final = "7dff0d166258e7f1d265e8e044021ea087795d58a0c6415ab6fe8b7c790e447f"

FEATURES: Final = (  # feature, its field in apitype.ResourceV3, its attribute of ResourceState (or it is in ``raw``)
    ("hooks", "resourceHooks", "hooks"),
    ("refreshBeforeUpdate", "refreshBeforeUpdate", ""),
    ("replaceWith", "replaceWith", "replace_with"),
)


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def manifest() -> dict[str, str]:
    return {"time": now(), "magic": MAGIC, "version": VERSION}


def envelope(resources: Iterable[Any]) -> dict[str, Any]:
    """The version of a checkpoint or deployment: 3, or 4 with the features that its resources use and older CLIs lack.

    Args:
        resources: :class:`ResourceState` or their JSON.
    """
    used = set()
    for r in resources:
        plain = isinstance(r, Mapping)
        for feature, field, attribute in FEATURES:
            if r.get(field) if plain else getattr(r, attribute) if attribute else r.raw.get(field):
                used.add(feature)
    return {"version": 4, "features": sorted(used)} if used else {"version": 3}


def require_readable(outer: Mapping[str, Any]) -> None:
    """Raises: EngineError: a checkpoint or deployment is of a version, or uses features, that this engine does not have."""
    if outer.get("version") not in (3, 4):
        raise EngineError(f"the state is of version {outer.get('version')}; the offline engine reads versions 3 and 4")
    if lacking := sorted(set(outer.get("features") or []) - {f for f, _, _ in FEATURES}):
        raise NotCovered(f"a state that uses {', '.join(lacking)}")


def wrapped(stack: str, deployment: Mapping[str, Any]) -> bytes:
    """The checkpoint file of a deployment."""
    checkpoint = {"stack": stack, "latest": deployment}
    return dumps({**envelope(deployment.get("resources") or []), "checkpoint": checkpoint}).encode()


def latest(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The deployment in a checkpoint file.

    Raises:
        EngineError: see :func:`require_readable`.
    """
    require_readable(checkpoint)
    found = (checkpoint.get("checkpoint") or {}).get("latest")
    return dict(found) if found else {}


def verify(resources: list[Any]) -> None:
    """Every resource comes after what it refers to. Takes :class:`ResourceState` or their JSON.

    Raises:
        IntegrityError: in the CLI's words.
    """
    seen: set[str] = set()
    providers: set[str] = set()
    live: set[str] = set()
    for r in resources:
        if isinstance(r, Mapping):
            urn, id, kind, deleting = r["urn"], r.get("id", ""), r["type"], r.get("delete", False)
            provider, parent, dependencies = (
                r.get("provider", ""),
                r.get("parent", ""),
                list(r.get("dependencies") or []),
            )
            by_property = r.get("propertyDependencies") or {}
        else:
            urn, id, kind, deleting = r.urn, r.id, r.type, r.delete
            provider, parent, dependencies = r.provider, r.parent, list(r.dependencies)
            by_property = r.property_dependencies
        for more in by_property.values():
            dependencies += more or []
        if provider and provider not in providers:
            raise IntegrityError(f"resource {urn} refers to unknown provider {provider}")
        if parent and parent not in seen:
            raise IntegrityError(f"child resource {urn}'s parent {parent} is missing")
        for d in dependencies:
            if d not in seen:
                raise IntegrityError(f"resource {urn} refers to missing dependency {d}")
        if urn in live and not deleting:
            raise IntegrityError(f"duplicate resource {urn}")
        if not deleting:
            live.add(urn)
        seen.add(urn)
        if kind.startswith("pulumi:providers:"):
            providers.add(f"{urn}::{id}")
