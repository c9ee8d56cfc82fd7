"""The checkpoint's JSON to and from :class:`Snapshot`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

from offline.engine.errors import NotCovered
from offline.engine.model import PendingOperation, ResourceState, Snapshot
from offline.engine.values import from_state, to_state

from .checkpoint import dumps, envelope, manifest
from .secrets import Passphrase

# Attribute of ResourceState -> field of apitype.ResourceV3, in the CLI's order. "" and other zero values are left out,
# as Go's omitempty does, except for the first three.
FIELDS: Final = {
    "urn": "urn", "custom": "custom", "delete": "delete", "id": "id", "type": "type", "inputs": "inputs",
    "outputs": "outputs", "parent": "parent", "protect": "protect", "dependencies": "dependencies",
    "init_errors": "initErrors", "provider": "provider", "property_dependencies": "propertyDependencies",
    "pending_replacement": "pendingReplacement", "additional_secret_outputs": "additionalSecretOutputs",
    "aliases": "aliases", "custom_timeouts": "customTimeouts", "retain_on_delete": "retainOnDelete",
    "created": "created", "modified": "modified", "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges", "hooks": "resourceHooks",
}  # fmt: skip
ALWAYS: Final = {"urn", "custom", "type"}
VALUES: Final = {"inputs", "outputs"}
NOT_COVERED: Final = ("external", "deletedWith", "replaceWith", "replacementTrigger", "refreshBeforeUpdate")
_ATTRIBUTE: Final = {v: k for k, v in FIELDS.items()}
_all_fields: Final = attrgetter(*(f.name for f in fields(ResourceState)))


def resource_from_json(data: Mapping[str, Any], secrets: Passphrase) -> ResourceState:
    """Raises: NotCovered: an update would have to act on what the engine does not know."""
    for field in NOT_COVERED:
        if data.get(field):
            raise NotCovered(f"a state with {field} ({data['urn']})")
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


def resource_to_json(r: ResourceState, encrypt: Callable[[str], str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for attribute, name in FIELDS.items():
        value = getattr(r, attribute)
        if value or attribute in ALWAYS:
            out[name] = to_state(value, encrypt) if attribute in VALUES else value
    return out | r.raw


def snapshot_from_json(deployment: Mapping[str, Any] | None, secrets: Passphrase) -> Snapshot:
    deployment = deployment or {}
    return Snapshot(
        [resource_from_json(r, secrets) for r in deployment.get("resources") or []],
        [PendingOperation(resource_from_json(o["resource"], secrets), o["type"])
         for o in deployment.get("pending_operations") or []],
        dict(deployment.get("metadata") or {}),
    )  # fmt: skip


def _unchanged(before: Any, now: Any) -> bool:
    return before is now or (not isinstance(now, dict) and bool(before == now))


class Encoder:
    """Writes a snapshot as checkpoint JSON again and again. A resource that did not change since the last time costs
    nothing but a look at its fields: inputs and outputs are replaced by the engine, never changed in place."""

    def __init__(self, stack: str, secrets: Passphrase) -> None:
        self._stack, self._secrets = stack, secrets
        self._cache: dict[int, tuple[ResourceState, tuple[Any, ...], str]] = {}

    def _resource(self, r: ResourceState) -> str:
        values = tuple(tuple(v) if isinstance(v, list) else v for v in _all_fields(r))
        hit = self._cache.get(id(r))
        if hit is not None and hit[0] is r and all(map(_unchanged, hit[1], values)):
            return hit[2]
        self._secrets.at(r.urn)
        text = dumps(resource_to_json(r, self._secrets.encrypt))
        self._cache[id(r)] = (r, values, text)
        return text

    def encode(self, snapshot: Snapshot) -> bytes:
        provider = {"type": "passphrase", "state": {"salt": self._secrets.state}}
        parts = [
            dumps(envelope(snapshot.resources))[:-1],
            f',"checkpoint":{{"stack":{dumps(self._stack)},"latest":{{"manifest":{dumps(manifest())}',
            f',"secrets_providers":{dumps(provider)}',
        ]
        if snapshot.resources:
            parts.append(',"resources":[' + ",".join(map(self._resource, snapshot.resources)) + "]")
        if snapshot.pending:
            operations = (f'{{"resource":{self._resource(p.resource)},"type":"{p.type}"}}' for p in snapshot.pending)
            parts.append(',"pending_operations":[' + ",".join(operations) + "]")
        parts.append(f',"metadata":{dumps(snapshot.metadata)}}}}}}}')
        return "".join(parts).encode()
