"""What is sent to change an object: plain creates, applies, the takeover of fields from one to the other."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Sequence

from offline.engine.provider import Call

from ..diff import at
from . import metadata
from .client import APPLY, JSON_PATCH, ApiError, Object
from .connection import Connection
from .kinds import NoMatch, Resource
from .metadata import is_true, name_of, namespace_of

CREATED_BY = "pulumi-kubernetes"  # field manager of a plain create; updates apply under a name of the resource's own
RETRY_DELAYS = (1, 2, 4, 8, 16)  # seconds, when a namespace or a definition does not exist yet


class Writes(Connection):
    def _make(self, call: Call, new: Object, manager: str, *, apply: bool) -> Object:
        """Creates an object, or applies it if it may exist; again when what it needs does not exist yet."""
        dry = "All" if call.preview else None
        for attempt in range(len(RETRY_DELAYS) + 1):
            try:
                resource = self._resource(new)
                if not resource.namespaced:
                    new["metadata"].pop("namespace", None)
                if not apply:
                    return self._client.request(
                        "POST",
                        resource.collection(namespace_of(new) or "default"),
                        new,
                        fieldManager=CREATED_BY,
                        dryRun=dry,
                    )
                force = call.preview or self._forces(new)

                def send(o: Object, resource: Resource = resource, force: bool = force) -> Object:
                    return self._client.request(
                        "PATCH", resource.path(namespace_of(o), name_of(o)), o, content_type=APPLY, fieldManager=manager, force=force, fieldValidation="Warn", dryRun=dry
                    )  # fmt: skip

                try:
                    return send(new)
                except ApiError as e:
                    if not call.preview or e.code != 422 or "field is immutable" not in str(e):
                        raise
                    # A replacement: the dry run cannot leave out the old object, so it makes one beside it.
                    name = name_of(new) + "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
                    call.log(
                        "info", f'Preview creation failed due to immutable fields; retrying with name "{name}"', False
                    )
                    return send({**new, "metadata": {**new["metadata"], "name": name}})
            except (ApiError, NoMatch) as e:
                missing = isinstance(e, NoMatch) or e.not_found
                if call.preview and isinstance(e, ApiError) and e.namespace_missing:
                    raise
                call.log("info", f"Retry #{attempt}; creation failed: {e}", True)
                if not missing or attempt == len(RETRY_DELAYS) or call.cancel.wait(RETRY_DELAYS[attempt]):
                    raise
                self._discovery.forget()
        raise AssertionError("unreachable")

    def _forces(self, new: Object) -> bool:
        return is_true(new, metadata.PATCH_FORCE) or self._flags["enablePatchForce"]

    def _apply(
        self, call: Call, new: Object, before: Object, manager: str, ignore: Sequence[str], *, patch: bool
    ) -> Object:
        resource, dry = self._resource(new), "All" if call.preview else None
        path = resource.path(namespace_of(before), name_of(before))
        if new.get("kind") == "CustomResourceDefinition":  # replaced as a whole, which keeps the objects of its kind
            body = {**new, "metadata": {**new["metadata"], "resourceVersion": before["metadata"]["resourceVersion"]}}
            self._discovery.forget()
            return self._client.request("PUT", path, body, fieldManager=manager, dryRun=dry)
        managed = before["metadata"].get("managedFields") or []
        force = self._forces(new) or not managed
        if call.preview:
            force = force or any(
                e["operation"] == "Update" and e["manager"] in (CREATED_BY, "pulumi-resource-kubernetes")
                for e in managed
            )
        elif not patch:
            before = self._take_over(path, before, manager)
            managed = before["metadata"].get("managedFields") or []
        body = copy.deepcopy(new) if ignore else new
        for ignored in ignore:
            _keep_ignored(body, before, ignored.split("."), managed, manager)
        return self._client.request(
            "PATCH", path, body, content_type=APPLY, fieldManager=manager, force=force, dryRun=dry
        )

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

    def _relinquish(self, o: Object, manager: str) -> None:
        """Gives up every field a manager has set; what no one else manages goes back to its default."""
        body = {
            "apiVersion": o["apiVersion"],
            "kind": o["kind"],
            "metadata": {"name": name_of(o), "namespace": namespace_of(o)},
        }
        self._client.request(
            "PATCH", self._resource(o).path(namespace_of(o), name_of(o)), body, content_type=APPLY, fieldManager=manager
        )


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
