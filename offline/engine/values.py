"""Property values: plain JSON data plus the two things Pulumi adds, secrets and values not known before an update.

Three forms exist and this module translates between them:

- *live*: Python data with :class:`Secret` and :data:`UNKNOWN` in it; what the engine and its providers work on;
- *wire*: ``google.protobuf.Struct`` with Pulumi's signature objects; what the SDK sends and expects;
- *state*: JSON with encrypted secrets; what the checkpoint holds.

The signatures are those of the Pulumi protocol (``sdk/go/common/resource/properties.go``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from google.protobuf import struct_pb2

from .errors import NotCovered
from .model import SECRET_SIGNATURE, SIGNATURE, UNKNOWN_WIRE
from .paths import PropertyPath, parse_path

OUTPUT_SIGNATURE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE_SIGNATURE: Final = "5cf8f73096256a8f31e491e813e4eb8e"


@dataclass(frozen=True)
class Secret:
    """A value that is encrypted in the state and masked in every output."""

    value: Any

    def __repr__(self) -> str:
        return "Secret([secret])"


class _Unknown(Enum):
    UNKNOWN = "a value that a preview cannot know"


UNKNOWN: Final = _Unknown.UNKNOWN

Properties = dict[str, Any]


def unwrap(value: Any) -> Any:
    """The value without any :class:`Secret` around it or inside it."""
    if isinstance(value, Secret):
        return unwrap(value.value)
    if isinstance(value, dict):
        return {k: v if isinstance(v, str) else unwrap(v) for k, v in value.items()}  # most are text
    if isinstance(value, list):
        return [unwrap(v) for v in value]
    return value


def contains_secret(value: Any) -> bool:
    return _contains(value, Secret)


def contains_unknown(value: Any) -> bool:
    return _contains(value, _Unknown)


def _contains(value: Any, kind: type) -> bool:
    if isinstance(value, str):  # most are
        return False
    if isinstance(value, kind):
        return True
    if isinstance(value, Secret):
        return _contains(value.value, kind)
    if isinstance(value, dict):
        return any(_contains(v, kind) for v in value.values())
    return isinstance(value, list) and any(_contains(v, kind) for v in value)


# --- parts of values ---------------------------------------------------------------------------------------------


def ignore(paths: Sequence[str], old: Properties, new: Properties) -> Properties:
    """The new inputs with every path of ``ignoreChanges`` as it was.

    Raises:
        NotCovered: a path leads into a list.
    """
    for text in paths:
        path = parse_path(text)
        if any(isinstance(step, int) or step == "*" for step in path):
            raise NotCovered(f"ignoreChanges of {text}")
        new = _reset(path, old, new)
    return new


def _reset(path: PropertyPath, old: Any, new: Any) -> Any:
    """``new`` with what is at ``path`` set back to what ``old`` has there."""
    if isinstance(new, Secret):
        return Secret(_reset(path, old, new.value))
    if isinstance(old, Secret):
        old = old.value
    if not (isinstance(new, dict) and isinstance(old, dict)):
        return new
    step, *rest = path
    out = dict(new)
    if rest and step in new and step in old:
        out[step] = _reset(tuple(rest), old[step], new[step])
    elif not rest and step in old:
        out[step] = old[step]
    elif not rest:
        out.pop(step, None)
    return out


# --- wire ---------------------------------------------------------------------------------------------------------


def from_wire(struct: struct_pb2.Struct) -> Properties:
    return {k: _value_from_wire(v) for k, v in struct.fields.items()}


def _value_from_wire(v: struct_pb2.Value) -> Any:
    kind = v.WhichOneof("kind")
    if kind == "null_value" or kind is None:
        return None
    if kind == "bool_value":
        return v.bool_value
    if kind == "number_value":
        return int(v.number_value) if v.number_value.is_integer() else v.number_value
    if kind == "string_value":
        return UNKNOWN if v.string_value == UNKNOWN_WIRE else v.string_value
    if kind == "list_value":
        return [_value_from_wire(x) for x in v.list_value.values]
    fields = v.struct_value.fields
    if SIGNATURE in fields:
        signature = fields[SIGNATURE].string_value
        if signature == SECRET_SIGNATURE:
            return Secret(_value_from_wire(fields["value"]))
        if signature == OUTPUT_SIGNATURE:
            inner = _value_from_wire(fields["value"]) if "value" in fields else UNKNOWN
            return Secret(inner) if "secret" in fields and fields["secret"].bool_value else inner
        if signature == RESOURCE_SIGNATURE:
            return fields["id"].string_value if "id" in fields else fields["urn"].string_value
    return {k: _value_from_wire(x) for k, x in fields.items()}


def to_wire(properties: Mapping[str, Any], *, keep_secrets: bool = True) -> struct_pb2.Struct:
    out = struct_pb2.Struct()
    for k, v in properties.items():
        _fill(out.fields[k], v, keep_secrets)
    return out


def _fill(out: struct_pb2.Value, value: Any, keep_secrets: bool) -> None:
    """Writes a value where it belongs: built apart and copied in, it would be copied once per level of its depth."""
    if value is None:
        out.null_value = struct_pb2.NULL_VALUE
    elif value is UNKNOWN:
        out.string_value = UNKNOWN_WIRE
    elif isinstance(value, Secret):
        if keep_secrets:
            out.struct_value.fields[SIGNATURE].string_value = SECRET_SIGNATURE
            out = out.struct_value.fields["value"]
        _fill(out, value.value, keep_secrets)
    elif isinstance(value, bool):
        out.bool_value = value
    elif isinstance(value, (int, float)):
        out.number_value = value
    elif isinstance(value, str):
        out.string_value = value
    elif isinstance(value, dict):
        out.struct_value.SetInParent()
        for k, v in value.items():
            _fill(out.struct_value.fields[k], v, keep_secrets)
    else:
        out.list_value.SetInParent()
        for v in value:
            _fill(out.list_value.values.add(), v, keep_secrets)


# --- state --------------------------------------------------------------------------------------------------------


def to_state(value: Any, encrypt: Callable[[str], str]) -> Any:
    """The JSON the checkpoint holds. A secret becomes its signature object with the ciphertext of its JSON text."""
    if isinstance(value, Secret):
        plain = json.dumps(unwrap(value.value), separators=(",", ":"), ensure_ascii=False)
        return {SIGNATURE: SECRET_SIGNATURE, "ciphertext": encrypt(plain)}
    if isinstance(value, dict):
        return {k: v if isinstance(v, str) else to_state(v, encrypt) for k, v in value.items()}  # most are text
    if isinstance(value, list):
        return [to_state(v, encrypt) for v in value]
    return UNKNOWN_WIRE if value is UNKNOWN else value


def from_state(value: Any, decrypt: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return UNKNOWN if value == UNKNOWN_WIRE else value
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            text = value["plaintext"] if "plaintext" in value else decrypt(value["ciphertext"])
            return Secret(json.loads(text))
        return {k: from_state(v, decrypt) for k, v in value.items()}
    if isinstance(value, list):
        return [from_state(v, decrypt) for v in value]
    return value
