"""``--json``: one document for a preview, the events themselves, a line each, for everything else."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from offline.backend.checkpoint import reveal
from offline.engine.model import STACK_TYPE, Event
from offline.engine.paths import type_of

from .text import Options, public, visible


class Digest:
    """``preview --json``: one document at the end (``display.PreviewDigest``)."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._config: Mapping[str, str] = {}
        self._steps: dict[str, dict[str, Any]] = {}
        self._refreshed: set[str] = set()
        self._diagnostics: list[dict[str, Any]] = []
        self._summary: Mapping[str, Any] = {}
        self._began = time.monotonic()

    def message(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def show(self, event: Event) -> None:
        for kind, payload in event.items():
            if kind == "preludeEvent":
                self._config = payload.get("config") or {}
            elif kind == "summaryEvent":
                self._summary = payload
            elif kind == "diagnosticEvent" and payload["severity"] != "debug" and not payload.get("ephemeral"):
                urn = {"urn": payload["urn"]} if payload.get("urn") else {}
                text = payload.get("prefix", "") + payload["message"]
                self._diagnostics.append({**urn, "message": text, "severity": payload["severity"]})
            elif kind in ("resourcePreEvent", "resOutputsEvent"):
                step = payload["metadata"]
                urn, op = step["urn"], step["op"]
                if not (visible(step, self._options) or type_of(urn) == STACK_TYPE):
                    continue
                if kind == "resourcePreEvent":
                    if op == "refresh":
                        self._refreshed.add(urn)
                    self._steps[f"{len(self._steps)} {urn}"] = self._step(step)
                elif urn in self._refreshed and (
                    op == "delete" or (op == "update" and step.get("detailedDiff") is not None)
                ):
                    for key in self._steps:
                        if key.split(" ", 1)[1] == urn:
                            self._steps[key] = self._step(step)

    @staticmethod
    def _step(step: Mapping[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {"op": step["op"], "urn": step["urn"]}
        if step.get("provider"):
            out["provider"] = step["provider"]
        for name, state in (("oldState", step.get("old")), ("newState", step.get("new"))):
            if state is not None:
                out[name] = _whole(step.get("_" + name), {"urn": step["urn"], "type": step["type"], **state})
        for name, key in (("diffReasons", "diffs"), ("replaceReasons", "keys")):
            if step.get(key):
                out[name] = step[key]
        out["detailedDiff"] = detailed = step.get("detailedDiff")
        if detailed:
            out["detailedDiff"] = {
                p: {"kind": d["diffKind"], "inputDiff": d["inputDiff"]} for p, d in sorted(detailed.items())
            }
        return out

    def close(self) -> None:
        digest = {
            "config": self._config,
            "steps": list(self._steps.values()),
            "diagnostics": self._diagnostics,
            "duration": int((time.monotonic() - self._began) * 1e9),
            "changeSummary": self._summary.get("resourceChanges"),
            "maybeCorrupt": self._summary.get("maybeCorrupt"),
        }
        print(json.dumps({k: v for k, v in digest.items() if v}, indent=4, ensure_ascii=False), flush=True)


def _whole(state: Any, short: Mapping[str, Any]) -> dict[str, Any]:
    """The state as the checkpoint has it, if the event came with it; otherwise what the event says."""
    if state is None:
        kept = {k: reveal(v) for k, v in short.items() if v not in ("", None, {}, [])}
        return {"urn": short["urn"], "custom": bool(short.get("custom")), **kept}
    from offline.backend.state import resource_to_json

    return {k: reveal(v) for k, v in resource_to_json(state, lambda _: "").items()}


class Lines:
    """``up --json``: the events themselves, a line each."""

    def message(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def show(self, event: Event) -> None:
        print(json.dumps(public(event), separators=(",", ":"), ensure_ascii=False), flush=True)

    def close(self) -> None: ...
