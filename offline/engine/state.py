"""The checkpoint's JSON (``apitype.CheckpointV3``) to and from :class:`Snapshot`, and the rules a state must keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from . import VERSION
from .errors import EngineError, IntegrityError
from .model import PendingOperation, ResourceState, Snapshot
from .secrets import Passphrase
from .values import from_state, to_state

MAGIC: Final = "7dff0d166258e7f1d265e8e044021ea087795d58a0c6415ab6fe8b7c790e447f"

# Attribute of ResourceState -> field of apitype.ResourceV3, in the CLI's order. "" and other zero values are left out,
# as Go's omitempty does, except for the first three.
FIELDS: Final = {
    "urn": "urn", "custom": "custom", "delete": "delete", "id": "id", "type": "type", "inputs": "inputs",
    "outputs": "outputs", "parent": "parent", "protect": "protect", "external": "external",
    "dependencies": "dependencies", "init_errors": "initErrors", "provider": "provider",
    "property_dependencies": "propertyDependencies", "pending_replacement": "pendingReplacement",
    "additional_secret_outputs": "additionalSecretOutputs", "aliases": "aliases", "custom_timeouts": "customTimeouts",
    "import_id": "importID", "retain_on_delete": "retainOnDelete", "deleted_with": "deletedWith",
    "replace_with": "replaceWith", "created": "created", "modified": "modified", "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges", "replacement_trigger": "replacementTrigger", "hooks": "resourceHooks",
}  # fmt: skip
ALWAYS: Final = {"urn", "custom", "type"}
VALUES: Final = {"inputs", "outputs", "replacement_trigger"}
_ATTRIBUTE: Final = {v: k for k, v in FIELDS.items()}
_all_fields: Final = attrgetter(*(f.name for f in fields(ResourceState)))


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def resource_from_json(data: Mapping[str, Any], secrets: Passphrase) -> ResourceState:
    secrets.at(data["urn"])
    known: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    for k, v in data.items():
        attribute = _ATTRIBUTE.get(k)
        if attribute is None:
            raw[k] = v
        else:
            known[attribute] = from_state(v, secrets.decrypt) if attribute in VALUES else v
    return ResourceState(**known, raw=raw)


def resource_to_json(r: ResourceState, secrets: Passphrase) -> dict[str, Any]:
    secrets.at(r.urn)
    out: dict[str, Any] = {}
    for attribute, name in FIELDS.items():
        value = getattr(r, attribute)
        if value or attribute in ALWAYS:
            out[name] = to_state(value, secrets.encrypt) if attribute in VALUES else value
    return out | r.raw


def snapshot_from_json(deployment: Mapping[str, Any] | None, secrets: Passphrase) -> Snapshot:
    deployment = deployment or {}
    return Snapshot(
        [resource_from_json(r, secrets) for r in deployment.get("resources") or []],
        [PendingOperation(resource_from_json(o["resource"], secrets), o["type"])
         for o in deployment.get("pending_operations") or []],
        dict(deployment.get("metadata") or {}),
    )  # fmt: skip


class Encoder:
    """Writes a snapshot as checkpoint JSON again and again. A resource that did not change since the last time costs
    nothing but a look at its fields: inputs and outputs are replaced by the engine, never changed in place."""

    def __init__(self, stack: str, secrets: Passphrase) -> None:
        self._stack, self._secrets = stack, secrets
        self._cache: dict[int, tuple[ResourceState, tuple[Any, ...], str]] = {}

    def _resource(self, r: ResourceState) -> str:
        marks = tuple(
            (id(v) if isinstance(v, dict) else tuple(v) if isinstance(v, list) else v) for v in _all_fields(r)
        )
        hit = self._cache.get(id(r))
        if hit is not None and hit[0] is r and hit[1] == marks:
            return hit[2]
        text = dumps(resource_to_json(r, self._secrets))
        self._cache[id(r)] = (r, marks, text)
        return text

    def encode(self, snapshot: Snapshot) -> bytes:
        provider = {"type": "passphrase", "state": {"salt": self._secrets.state}}
        parts = [
            f'{{"version":3,"checkpoint":{{"stack":{dumps(self._stack)},"latest":{{"manifest":{dumps(manifest())}',
            f',"secrets_providers":{dumps(provider)}',
        ]
        if snapshot.resources:
            parts.append(',"resources":[' + ",".join(map(self._resource, snapshot.resources)) + "]")
        if snapshot.pending:
            operations = (f'{{"resource":{self._resource(p.resource)},"type":"{p.type}"}}' for p in snapshot.pending)
            parts.append(',"pending_operations":[' + ",".join(operations) + "]")
        parts.append(f',"metadata":{dumps(snapshot.metadata)}}}}}}}')
        return "".join(parts).encode()


def manifest() -> dict[str, str]:
    return {"time": now(), "magic": MAGIC, "version": VERSION}


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


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
            provider, parent, dependencies = r.get("provider", ""), r.get("parent", ""), list(r.get("dependencies") or [])
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


def latest(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The deployment in a checkpoint file.

    Raises:
        EngineError: it is of another version than 3.
    """
    if checkpoint.get("version") != 3:
        raise EngineError(f"the state is of version {checkpoint.get('version')}; this engine reads version 3")
    if checkpoint.get("features"):
        raise EngineError(f"the state needs {', '.join(checkpoint['features'])}, which the offline engine does not have")
    found = (checkpoint.get("checkpoint") or {}).get("latest")
    return dict(found) if found else {}
