"""Unpacks each resource once. The SDK's host does it again for every policy, in four passes: to judge the 1,104 resources of
100 modules takes it 5.9 s of CPU, and 1.4 s with this module.

It takes the place of six functions that the host calls between a request and a policy, and of nothing else; where an SDK
has other ones, it does nothing and the pack is only slower. requirements.txt pins the SDK it was made for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf import json_format
from pulumi_policy import policy as host
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY, deserialize_properties
from pulumi_policy.proxy import _is_unknown, unknown_checking_proxy

from .values import UNKNOWN

_KEPT = 8192  # requests' resources and their providers; more only means that some are unpacked again


class Properties(dict[str, Any]):
    """Properties as plain values, with ``UNKNOWN`` where a value is not known yet, and the names of those with a secret."""

    def __init__(self, message: Any) -> None:
        self.secrets: set[str] = set()
        for name, value in message.fields.items():
            marks: list[str] = []
            self[name] = _value(value, marks)
            self.secrets.update(name for _ in marks)


class Packed:
    """A message that nobody has needed to look into yet."""

    def __init__(self, message: Any) -> None:
        self.message = message
        self._copied: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return bool(self.message.fields)

    def copy(self) -> dict[str, Any]:
        """The host keeps the configuration of a policy this way, and asks for a copy."""
        if self._copied is None:
            self._copied = json_format.MessageToDict(self.message)
        return dict(self._copied)

    def for_writing(self) -> Any:
        """The SDK's own proxy, which keeps what is secret a secret when a remediation writes to it."""
        return deserialize_properties(json_format.MessageToDict(self.message), True)


def install() -> bool:
    """Puts the faster functions into the SDK's host. False where the host is not as expected, and nothing was done."""
    names = ("json_format", "deserialize_properties", "unknown_checking_proxy", "signature")
    servicer = getattr(host, "_PolicyAnalyzerServicer", None)
    of_a_resource = ("_get_resource_options", "_get_provider_resource")
    if not all(hasattr(host, name) for name in names) or not all(hasattr(servicer, name) for name in of_a_resource):
        return False
    for name in of_a_resource:
        setattr(servicer, name, _once_a_message(getattr(servicer, name)))
    host.json_format = _JsonFormat
    host.deserialize_properties = _deserialize
    host.unknown_checking_proxy = _proxy
    host.signature = cache(host.signature)  # of one class, looked up again for every request
    return True


def _once_a_message(read: Callable[..., Any]) -> Callable[..., Any]:
    """What is read from a message, its last argument, for every policy again; nobody writes to it."""
    known: dict[int, tuple[Any, Any]] = {}

    def found(*arguments: Any) -> Any:
        message = arguments[-1]
        kept = known.get(id(message))
        if kept is None:
            if len(known) >= _KEPT:
                known.clear()
            # The message is kept with it, so that its identity means it as long as this is there.
            kept = known[id(message)] = (message, read(*arguments))
        return kept[1]

    return found


class _JsonFormat:
    @staticmethod
    def MessageToDict(message: Any) -> Packed:
        return Packed(message)


_properties = _once_a_message(Properties)


def _deserialize(packed: Any, proxy_secrets: bool = False) -> Any:
    if not isinstance(packed, Packed):
        return deserialize_properties(packed, proxy_secrets)
    if proxy_secrets:  # the host prepares for remediations even where no policy has one
        return packed
    return _properties(packed.message)


def _proxy(properties: Any) -> Any:
    return properties if isinstance(properties, Properties | Packed) else unknown_checking_proxy(properties)


def _value(value: Any, marks: list[str]) -> Any:
    """The plain value; a mark is left for each secret in it."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if _is_unknown(text) else text
    if kind == "struct_value":
        found = {name: _value(v, marks) for name, v in value.struct_value.fields.items()}
        if SPECIAL_SIG_KEY in found:
            if found[SPECIAL_SIG_KEY] != SPECIAL_SECRET_SIG:
                return None  # a file
            marks.append(SPECIAL_SECRET_SIG)
            return found.get("value")
        return found
    if kind == "list_value":
        return [_value(v, marks) for v in value.list_value.values]
    if kind == "number_value":
        return value.number_value
    return value.bool_value if kind == "bool_value" else None
