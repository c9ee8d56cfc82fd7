"""The engine's events: the JSON objects of ``apitype.EngineEvent``, as ``--event-log`` and the Automation API see them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .model import Emit, ResourceState, Urn
from .provider import InitError, PropertyDiff, Uncertain
from .values import to_state

if TYPE_CHECKING:
    from .steps import Step

_PREFIX = {"debug": "debug: ", "warning": "warning: ", "error": "error: "}


def masked(value: Any) -> Any:
    """A live value as JSON without its secrets."""
    return to_state(value, lambda _: "[secret]")


def error_text(error: BaseException) -> str:
    """What follows ``error: `` on the screen. Reasons of an unready object are listed one a line."""
    if isinstance(error, InitError):
        plural = "s" if len(error.reasons) != 1 else ""
        return f"{len(error.reasons)} error{plural} occurred:\n" + "\n".join(f"\t* {r}" for r in error.reasons) + "\n\n"
    return str(error) or type(error).__name__


def _state(state: ResourceState | None, mask: Callable[[Any], Any]) -> dict[str, Any] | None:
    if state is None:
        return None
    out: dict[str, Any] = {"type": state.type, "urn": state.urn}
    if state.custom:
        out["custom"] = True
    if state.delete:
        out["delete"] = True
    out |= {"id": state.id, "parent": state.parent}
    if state.protect:
        out["protect"] = True
    if state.retain_on_delete:
        out["retainOnDelete"] = True
    out |= {"inputs": mask(state.inputs), "outputs": mask(state.outputs), "provider": state.provider}
    if state.init_errors:
        out["initErrors"] = list(state.init_errors)
    return out


class Events:
    """Emits the events of one update and counts its operations."""

    def __init__(self, emit: Emit, *, planning: bool, secrets: Iterable[str] = ()) -> None:
        self._emit = emit
        self._planning = planning
        self._secrets = sorted({s for s in secrets if len(s) > 2}, key=len, reverse=True)
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self.changes: Counter[str] = Counter()
        self._uncertain = False
        self._masked: dict[int, tuple[Any, Any]] = {}
        self.muted = False  # once the result is known, what the dying program says is of no interest

    def send(self, kind: str, payload: Mapping[str, Any]) -> None:
        with self._lock:
            self._emit({kind: dict(payload)})

    def redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text

    def diagnostic(self, severity: str, message: str, *, urn: Urn = "", ephemeral: bool = False) -> None:
        payload: dict[str, Any] = {"urn": urn} if urn else {}
        if severity in _PREFIX:
            payload["prefix"] = _PREFIX[severity]
        payload |= {"message": self.redact(message) + "\n", "color": "never", "severity": severity}
        if ephemeral:
            payload["ephemeral"] = True
        self.send("diagnosticEvent", payload)

    def error(self, message: str, urn: Urn = "") -> None:
        self.diagnostic("error", message, urn=urn)

    def prelude(self, config: Mapping[str, str], secret_keys: Iterable[str]) -> None:
        hidden = set(secret_keys)
        self.send("preludeEvent", {"config": {k: "[secret]" if k in hidden else v for k, v in sorted(config.items())}})

    def summary(self, *, ok: bool, policy_packs: Mapping[str, str]) -> None:
        self.send(
            "summaryEvent",
            {
                "maybeCorrupt": self._uncertain,
                "durationSeconds": int(-(-(time.monotonic() - self._started) // 1)),
                "resourceChanges": dict(sorted(self.changes.items())),
                "PolicyPacks": dict(policy_packs),
                "isPreview": self._planning,
                "result": "succeeded" if ok else "failed",
            },
        )

    # --- steps ---

    def _metadata(self, step: Step, op: str) -> dict[str, Any]:
        out: dict[str, Any] = {"op": op, "urn": step.urn, "type": step.res.type}
        out |= {"old": _state(step.old, self._mask), "new": _state(step.new, self._mask)}
        if step.keys:
            out["keys"] = list(step.keys)
        if step.diffs:
            out["diffs"] = list(step.diffs)
        out["detailedDiff"] = None if step.detailed is None else _detailed(step.detailed)
        if step.logical:
            out["logical"] = True
        out["provider"] = step.res.provider
        return out | {
            "_oldState": step.old,
            "_newState": step.new,
        }  # whole, for `preview --json`; not part of the event

    def _mask(self, properties: Any) -> Any:
        """What a step tells before it begins and when it ends is mostly the same, and never changed in place."""
        known = self._masked.get(id(properties))
        if known is None or known[0] is not properties:
            known = self._masked[id(properties)] = (properties, masked(properties))
        return known[1]

    def _forget(self, step: Step) -> None:
        for state in (step.old, step.new):
            if state is not None:
                self._masked.pop(id(state.inputs), None)
                self._masked.pop(id(state.outputs), None)

    def pre(self, step: Step) -> None:
        self._step("resourcePreEvent", step, step.op)

    def outputs(self, step: Step, op: str = "") -> None:
        self._step("resOutputsEvent", step, op or step.op)
        self._forget(step)

    def _step(self, kind: str, step: Step, op: str) -> None:
        self.send(kind, {"metadata": self._metadata(step, op)} | ({"planning": True} if self._planning else {}))

    def failed(self, step: Step, error: BaseException) -> None:
        self.error(error_text(error), step.urn)
        if not self._planning:
            uncertain = isinstance(error, Uncertain)
            self._uncertain |= uncertain
            status = 2 if uncertain else 1 if isinstance(error, InitError) else 0  # resource.Status
            steps = sum(self.changes.values())
            self.send("resOpFailedEvent", {"metadata": self._metadata(step, step.op), "status": status, "steps": steps})


def _detailed(diff: Mapping[str, PropertyDiff]) -> dict[str, Any]:
    return {p: {"diffKind": d.kind, "inputDiff": d.input_diff} for p, d in diff.items()}
