"""The outputs a checkpoint holds: the live object, the inputs that made it, and who manages its fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from offline.engine.values import Properties, Secret, contains_secret, unwrap

from .client import Object

_DASHED = re.compile(
    r"^x-kubernetes-(embedded-resource|int-or-string|list-map-keys|list-type|map-type|preserve-unknown-fields|validations)$"
)
_SNAKED = re.compile(
    r"^x_kubernetes_(embedded_resource|int_or_string|list_map_keys|list_type|map_type|preserve_unknown_fields|validations)$"
)


def _rename(value: Any, pattern: re.Pattern[str], old: str, new: str) -> Any:
    if isinstance(value, str):  # most are
        return value
    if isinstance(value, dict):
        return {
            (k.replace(old, new) if k.startswith("x") and pattern.match(k) else k): _rename(v, pattern, old, new)
            for k, v in value.items()
        }
    return [_rename(v, pattern, old, new) for v in value] if isinstance(value, list) else value


def plain(properties: Mapping[str, Any]) -> Object:
    """A copy of properties as the API server wants them: no secrets, ``x-kubernetes-*`` keys with dashes (the SDK has underscores)."""
    out: Object = _rename(unwrap(properties), _SNAKED, "_", "-")
    return out


def outputs(inputs: Object, live: Object, given: Mapping[str, Any], api_version: str, manager: str) -> Properties:
    """The outputs of a resource.

    Args:
        inputs: the normalised inputs, without secrets.
        live: the object as the server returned it.
        given: the inputs with their secrets, which tell what is secret in the other two.
        api_version: the version the object was first made with.
        manager: the field manager of its updates.
    """
    made: Properties = with_secrets(_rename(live, _DASHED, "-", "_"), given)
    made["__inputs"] = with_secrets(_rename(inputs, _DASHED, "-", "_"), given)
    made["__initialApiVersion"] = api_version
    made["__fieldManager"] = manager
    return made


def parse(old_outputs: Mapping[str, Any]) -> tuple[Object, Object]:
    """The inputs and the live object that outputs hold."""
    live = plain(old_outputs)
    inputs = live.pop("__inputs", None) or {}
    return inputs, live


def with_secrets(out: Object, given: Mapping[str, Any]) -> Properties:
    """Wraps in ``out`` what is secret in ``given``. A Secret's data always is; a list with one secret is secret as a whole."""
    made = dict(out)
    if made.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in made:
                made[key] = Secret(made[key])
        return made
    for key, value in given.items():
        if key not in made:
            continue
        if isinstance(value, Mapping) and isinstance(made[key], dict):
            made[key] = with_secrets(made[key], value)
        elif contains_secret(value):
            made[key] = Secret(made[key])
    return made
