"""Names, annotations and field managers: what the provider reads from and writes into an object's metadata."""

from __future__ import annotations

import secrets
from typing import Any

from offline.engine.values import UNKNOWN

from .kinds import Object

PREFIX = "pulumi.com/"
AUTONAMED = PREFIX + "autonamed"
SKIP_AWAIT = PREFIX + "skipAwait"
TIMEOUT = PREFIX + "timeoutSeconds"
REPLACE_UNREADY = PREFIX + "replaceUnready"
PATCH_FORCE = PREFIX + "patchForce"
WAIT_FOR = PREFIX + "waitFor"
NOT_COVERED = (PREFIX + "patchFieldManager", PREFIX + "deletionPropagationPolicy")


def section(o: Object, key: str) -> Any:
    return (o.get("metadata") or {}).get(key) if isinstance(o.get("metadata"), dict) else None


def name_of(o: Object) -> str:
    found = section(o, "name")
    return found if isinstance(found, str) else ""


def namespace_of(o: Object) -> str:
    found = section(o, "namespace")
    return found if isinstance(found, str) else ""


def annotation(o: Object, key: str) -> str:
    found = section(o, "annotations")
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""


def is_true(o: Object, key: str) -> bool:
    return annotation(o, key) == "true"


def annotate(o: Object, key: str) -> None:
    """Sets an annotation to "true"; not where the annotations are unknown."""
    metadata = o.setdefault("metadata", {})
    if isinstance(metadata, dict) and isinstance(metadata.setdefault("annotations", {}), dict):
        metadata["annotations"][key] = "true"


def full_name(o: Object) -> str:
    """``namespace/name``: the id of a resource."""
    return f"{namespace_of(o)}/{name_of(o)}" if namespace_of(o) else name_of(o)


def short_name(o: Object) -> str:
    """The same as messages have it: the namespace ``default`` is left out."""
    return name_of(o) if namespace_of(o) == "default" else full_name(o)


def split_id(id: str) -> tuple[str, str]:
    namespace, _, name = id.rpartition("/")
    return namespace, name


def named(o: Object) -> bool:
    return bool(name_of(o)) or section(o, "name") is UNKNOWN


def unique(prefix: str) -> str:
    """The prefix and eight random hexadecimal digits."""
    return prefix + secrets.token_hex(4)


def assign_name(o: Object, logical_name: str) -> None:
    """Names an object that has no name, and marks it, so that a replacement may have another name."""
    if named(o):
        return
    o.setdefault("metadata", {})
    if not isinstance(o["metadata"], dict):
        return
    o["metadata"]["name"] = unique(f"{logical_name}-")
    annotate(o, AUTONAMED)


def adopt_name(new: Object, old: Object) -> None:
    """Keeps the automatic name that the object has."""
    if not named(new) and is_true(old, AUTONAMED) and isinstance(new.setdefault("metadata", {}), dict):
        new["metadata"]["name"] = name_of(old)
        annotate(new, AUTONAMED)


def timeout(o: Object, custom: float, default: float = 600.0) -> float:
    """Seconds to wait: ``customTimeouts``, the annotation, ten minutes."""
    if custom:
        return custom
    try:
        return float(int(annotation(o, TIMEOUT)))
    except ValueError:
        return default


# --- field managers -----------------------------------------------------------------------------------------------

# Objects are created by POST as "pulumi-kubernetes"; the first update by server-side apply takes over what these wrote.
_TAKEN_OVER = (("kubectl", "Apply"), ("kubectl", "Update"), ("before-first-apply", "Update"), ("pulumi-kubernetes", "Update"), ("pulumi-resource-kubernetes", "Update"))  # fmt: skip


def _merge(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    return {k: _merge(a.get(k, {}), b.get(k, {})) for k in {**a, **b}}


def take_over(managed: list[Object], manager: str) -> list[Object] | None:
    """``managedFields`` with the fields of earlier writers given to ``manager``; None if there is nothing to take over."""

    def earlier(entry: Object) -> bool:
        return not entry.get("subresource") and any(
            entry["manager"].startswith(name) and entry["operation"] == operation and entry["manager"] != manager
            for name, operation in _TAKEN_OVER
        )

    taken = [e for e in managed if earlier(e)]
    if not taken:
        return None
    mine = next((e for e in managed if e["manager"] == manager and e["operation"] == "Apply"), None)
    entry = dict(mine or {**taken[0], "manager": manager, "operation": "Apply"})
    for e in taken:
        entry["fieldsV1"] = _merge(entry.get("fieldsV1", {}), e.get("fieldsV1", {}))
    return [entry] + [e for e in managed if e is not mine and e not in taken]


def manages(managed: list[Object], path: list[str], manager: str) -> tuple[bool, bool]:
    """Whether this manager, and whether any other, has set the field at a path of plain keys."""
    mine = others = False
    for entry in managed:
        fields: Any = entry.get("fieldsV1", {})
        for key in path:
            fields = fields.get(f"f:{key}") if isinstance(fields, dict) else None
        if fields is not None:
            mine, others = mine or entry["manager"] == manager, others or entry["manager"] != manager
    return mine, others
