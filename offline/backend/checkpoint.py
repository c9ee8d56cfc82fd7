"""The checkpoint file as plain JSON (``apitype.CheckpointV3``): enough for commands that run no update."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from offline.engine import VERSION
from offline.engine.errors import EngineError, IntegrityError, NotCovered
from offline.engine.model import SECRET_SIGNATURE, SIGNATURE

MAGIC: Final = "7dff0d166258e7f1d265e8e044021ea087795d58a0c6415ab6fe8b7c790e447f"

HOOKS: Final = "hooks"  # the one feature of a state's version 4 that is covered


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def is_sealed(value: Any) -> bool:
    """Whether a value of the state is a secret."""
    return isinstance(value, Mapping) and value.get(SIGNATURE) == SECRET_SIGNATURE


def reveal(value: Any, decrypt: Callable[[str], str] | None = None) -> Any:
    """A value of the state as plain JSON: secrets decrypted, or ``[secret]``."""
    if is_sealed(value):
        if decrypt is None:
            return "[secret]"
        return reveal(json.loads(value["plaintext"] if "plaintext" in value else decrypt(value["ciphertext"])), decrypt)
    if isinstance(value, Mapping):
        return {k: reveal(v, decrypt) for k, v in sorted(value.items())}
    return [reveal(v, decrypt) for v in value] if isinstance(value, list) else value


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def manifest() -> dict[str, str]:
    return {"time": now(), "magic": MAGIC, "version": VERSION}


def envelope(resources: Iterable[Any]) -> dict[str, Any]:
    """The version of a checkpoint or deployment: 3, or 4 with the features that its resources use and older CLIs lack.

    Args:
        resources: :class:`ResourceState` or their JSON.
    """
    if any(r.get("resourceHooks") if isinstance(r, Mapping) else r.hooks for r in resources):
        return {"version": 4, "features": [HOOKS]}
    return {"version": 3}


def require_readable(outer: Mapping[str, Any]) -> None:
    """Raises: EngineError: a checkpoint or deployment is of a version, or uses features, that this engine does not have."""
    if outer.get("version") not in (3, 4):
        raise EngineError(f"the state is of version {outer.get('version')}; the offline engine reads versions 3 and 4")
    if lacking := sorted(set(outer.get("features") or []) - {HOOKS}):
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
