"""Kinds with one condition on the object itself, and the conditions a user names in ``pulumi.com/waitFor``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..client import ApiError, Object, Unreachable
from ..metadata import wait_for
from .base import Await, conditions


def phase(o: Object) -> str:
    return str((o.get("status") or {}).get("phase", ""))


class When(Await):
    """Ready when a function of the object says so."""

    test: Callable[[Object], bool]

    def ready(self) -> bool:
        return type(self).test(self.object)

    @classmethod
    def of(cls, test: Callable[[Object], bool]) -> type[When]:
        return type("When", (cls,), {"test": staticmethod(test)})


class ClaimBound(Await):
    """A PersistentVolumeClaim: bound, or pending where its class binds at first use."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._mode: str | None = None

    def _binding_mode(self) -> str:
        if self._mode is None:
            name = self.object["spec"].get("storageClassName") or ""
            try:
                self._mode = (
                    str(self.client.get(f"/apis/storage.k8s.io/v1/storageclasses/{name}").get("volumeBindingMode", ""))
                    if name
                    else ""
                )
            except (ApiError, Unreachable) as e:
                self._mode = ""
                self.say("warning", f'getting storage class "{name}": {e}')
        return self._mode

    def ready(self) -> bool:
        now = phase(self.object)
        if now == "Bound" and (self.before or self._binding_mode() != "WaitForFirstConsumer"):
            return True
        return now == "Pending" and self._binding_mode() == "WaitForFirstConsumer"


class DaemonSetReady(Await):
    def ready(self) -> bool:
        done, text = daemon_set(self.object)
        self.say("info", text)
        return done


def daemon_set(o: Object) -> tuple[bool, str]:
    """Whether a DaemonSet runs everywhere in its newest form, and how far it is."""
    s = o.get("status") or {}
    if s.get("observedGeneration", 0) < o["metadata"].get("generation", 0):
        return False, "DaemonSet generation is not current"
    wanted = s.get("desiredNumberScheduled", 0)
    for key, what in (
        ("currentNumberScheduled", "Current"),
        ("updatedNumberScheduled", "Updated"),
        ("numberAvailable", "Available"),
        ("numberReady", "Ready"),
    ):
        if s.get(key, 0) < wanted:
            return False, f"{what}: {s.get(key, 0)}/{wanted}"
    return True, f"All replicas scheduled as expected. Replicas: {wanted}"


def service_account_token(o: Object) -> bool:
    return o.get("type") != "kubernetes.io/service-account-token" or bool(o.get("data"))


def quota_observed(o: Object) -> bool:
    return bool(o["spec"].get("hard") == (o.get("status") or {}).get("hard"))


def replicas_available(o: Object) -> bool:
    return bool(o["spec"].get("replicas", 1) == (o.get("status") or {}).get("availableReplicas", 0))


# --- pulumi.com/waitFor -------------------------------------------------------------------------------------------


class WaitForError(Exception):
    """The annotation's expression is not understood."""


_JSONPATH = re.compile(
    r"""\.([\w-]+|'[^']+')|\[(\d+|\*)\]|\['([^']+)'\]|\[\?\(@\.([\w.-]+)\s*==\s*["']([^"']*)["']\)\]"""
)


def select(expression: str, o: Any) -> list[Any]:
    """The values a JSONPath selects: fields, indexes, ``[*]`` and ``[?(@.field=="value")]``.

    Raises: WaitForError for anything else.
    """
    values, end = [o], 0
    for m in _JSONPATH.finditer(expression):
        if m.start() != end:
            break
        end = m.end()
        field, index, quoted, key, wanted = m.groups()
        if field or quoted:
            values = [v[name] for v in values if isinstance(v, dict) and (name := (field or quoted).strip("'")) in v]
        elif key:
            values = [
                x for v in values if isinstance(v, list) for x in v if (select("." + key, x) or [None])[0] == wanted
            ]
        elif index == "*":
            values = [
                x for v in values for x in (v if isinstance(v, list) else v.values() if isinstance(v, dict) else [])
            ]
        else:
            values = [v[int(index)] for v in values if isinstance(v, list) and int(index) < len(v)]
    if end != len(expression):
        raise WaitForError(
            f'parsing {expression!r}: only fields, indexes, [*] and [?(@.field=="value")] are understood here; the Pulumi CLI knows all of JSONPath'
        )
    return values


def _text(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


class Custom(Await):
    """``jsonpath={.a.b}``, ``jsonpath={.a.b}=value``, ``condition=Type``, ``condition=Type=Status``; all of them."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._all = [self._parse(e) for e in wait_for(self.object)]

    def _parse(self, expression: str) -> tuple[str, str, str]:
        kind, _, rest = expression.partition("=")
        if kind == "condition":
            name, _, status = rest.partition("=")
            return kind, name, status or "True"
        if kind != "jsonpath":
            raise WaitForError(f'expected a "jsonpath=" or "condition=" prefix, got "{expression}"')
        m = re.fullmatch(r"\{\s*\$?(.*?)\s*\}(?:=(.+))?", rest)
        if not m:
            raise WaitForError(f"format should be {{.path}}=value or {{.path}}, got {rest!r}")
        select(m[1], {})
        return kind, m[1], m[2] or ""

    def _holds(self, kind: str, path: str, wanted: str) -> bool:
        if kind == "condition":
            status = conditions(self.object).get(path, {}).get("status", "")
            if status != wanted:
                self.say(
                    "info",
                    f'Waiting for condition "{path}" to be "{wanted}"' + (f' (found "{status}")' if status else ""),
                )
            return bool(status == wanted)
        metadata, status = self.object["metadata"], self.object.get("status") or {}
        if isinstance(status, dict) and status.get("observedGeneration", metadata.get("generation", 0)) < metadata.get(
            "generation", 0
        ):
            return False
        found, shown = select(path, self.object), f"{{{path}}}" + (f"={wanted}" if wanted else "")
        if found and (not wanted or _text(found[0]) == wanted):
            self.say("info", f"Found {shown}")
            return True
        self.say(
            "info", f'Waiting for {shown} (found "{_text(found[0])}")' if found else f"{{{path}}} selected nothing"
        )
        return False

    def ready(self) -> bool:
        return all(self._holds(*e) for e in self._all)
