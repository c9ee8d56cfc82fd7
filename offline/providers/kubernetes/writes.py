"""What is sent to change an object: plain creates, applies, the takeover of fields from one to the other."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Sequence
from typing import Any

from offline.engine.provider import Call

from ..diff import at
from . import metadata
from .client import APPLY, JSON_PATCH, ApiError
from .connection import Connection
from .kinds import Object, resource
from .metadata import is_true, name_of, namespace_of

CREATED_BY = "pulumi-kubernetes"  # field manager of a plain create; updates apply under a name of the resource's own
RETRY_DELAYS = (1, 2, 4, 8, 16)  # seconds, when a namespace does not exist yet


class Writes(Connection):
    def _make(self, call: Call, new: Object, manager: str) -> Object:
        """Creates an object, or applies it if it may exist; again when its namespace does not exist yet."""
        if not resource(new).namespaced:
            new["metadata"].pop("namespace", None)
        for attempt in range(len(RETRY_DELAYS) + 1):
            try:
                return self._upserted(call, new, manager) if self._upsert else self._posted(call, new)
            except ApiError as e:
                if call.preview and e.namespace_missing:
                    raise
                call.log("info", f"Retry #{attempt}; creation failed: {e}", True)
                if not e.not_found or attempt == len(RETRY_DELAYS) or call.cancel.wait(RETRY_DELAYS[attempt]):
                    raise
        raise AssertionError("unreachable")

    def _posted(self, call: Call, new: Object) -> Object:
        path = resource(new).collection(namespace_of(new) or "default")
        return self._client.request("POST", path, new, fieldManager=CREATED_BY, dryRun=_dry_run(call))

    def _upserted(self, call: Call, new: Object, manager: str) -> Object:
        force = call.preview or is_true(new, metadata.PATCH_FORCE)
        try:
            return self._patched(call, new, new, manager, force=force, fieldValidation="Warn")
        except ApiError as e:
            if not call.preview or e.code != 422 or "field is immutable" not in str(e):
                raise
            # A replacement: the dry run cannot leave out the old object, so it makes one beside it.
            name = name_of(new) + "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
            call.log("info", f'Preview creation failed due to immutable fields; retrying with name "{name}"', False)
            beside = {**new, "metadata": {**new["metadata"], "name": name}}
            return self._patched(call, beside, beside, manager, force=force, fieldValidation="Warn")

    def _patched(self, call: Call, o: Object, body: Object, manager: str, **query: Any) -> Object:
        """Server-side apply."""
        path = resource(o).path(namespace_of(o), name_of(o))
        return self._client.request(
            "PATCH", path, body, content_type=APPLY, fieldManager=manager, dryRun=_dry_run(call), **query
        )

    def _apply(self, call: Call, new: Object, before: Object, manager: str, ignore: Sequence[str]) -> Object:
        managed = before["metadata"].get("managedFields") or []
        force = is_true(new, metadata.PATCH_FORCE) or not managed
        if call.preview:
            force = force or any(e["operation"] == "Update" and e["manager"] == CREATED_BY for e in managed)
        else:
            before = self._take_over(resource(before).path(namespace_of(before), name_of(before)), before, manager)
            managed = before["metadata"].get("managedFields") or []
        body = copy.deepcopy(new) if ignore else new
        for ignored in ignore:
            _keep_ignored(body, before, ignored.split("."), managed, manager)
        return self._patched(call, before, body, manager, force=force)

    def _take_over(self, path: str, o: Object, manager: str) -> Object:
        """Gives the manager what a plain create and kubectl wrote, so that an apply can change and remove it."""
        for attempt in range(5):
            entries = metadata.take_over(o["metadata"].get("managedFields") or [], manager)
            if entries is None:
                break
            patches = [
                {"op": "replace", "path": "/metadata/managedFields", "value": entries},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": o["metadata"]["resourceVersion"]},
            ]
            try:
                return self._client.request("PATCH", path, patches, content_type=JSON_PATCH)
            except ApiError as e:
                if not e.conflict or attempt == 4:
                    raise
                o = self._client.get(path)  # a controller was faster
        return o


def _dry_run(call: Call) -> str:
    return "All" if call.preview else ""


def conflict(e: ApiError, manager: str) -> str:
    if not e.conflict:
        return str(e)
    return (
        "server-side apply field conflict detected, see https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/"
        "managing-resources-with-server-side-apply/#handle-field-conflicts-on-existing-resources for troubleshooting help\n"
        f'The resource managed by field manager "{manager}" had an apply conflict: {e}'
    )


def _keep_ignored(body: Object, live: Object, path: list[str], managed: list[Object], manager: str) -> None:
    """Leaves an ignored field to whoever else sets it, or sends the value it has."""
    mine, others = metadata.manages(managed, path, manager)
    parent, value = at(body, path[:-1]), at(live, path)
    if others and not mine:
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
    elif value is not None and isinstance(parent, dict):
        parent[path[-1]] = copy.deepcopy(value)
