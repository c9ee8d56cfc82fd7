"""What the CLI writes without a terminal: a line for every change of a row, then diagnostics, outputs and the summary."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from offline.engine.model import STACK_TYPE, Event
from offline.engine.paths import name_of, type_of

from .text import OPERATIONS, Options, diff_info, label, outputs_text, policies_text, summary_text, type_name, visible


@dataclass
class _Row:
    step: Mapping[str, Any]
    hidden: bool = True
    failed: bool = False
    ended: set[str] = field(default_factory=set)
    started: float | None = None
    finished: float | None = None
    last: str = ""
    diagnostics: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"error": 0, "warning": 0, "info": 0})
    replaced: Mapping[str, Any] | None = None  # the `replace` step, whose diff explains the two others


class Progress:
    """See the module.

    Args:
        write: takes the text, by default the standard output.
    """

    def __init__(self, options: Options, write: Callable[[str], object] | None = None) -> None:
        self._options, self._write = options, write or sys.stdout.write
        self._rows: dict[str, _Row] = {}
        self._stack, self._stack_name = "", f"{options.project}-{options.stack}"
        self._done = self._loading = False
        self._summary: Mapping[str, Any] | None = None
        self._violations: list[Mapping[str, Any]] = []
        self._remediations: list[Mapping[str, Any]] = []
        self._lock = threading.RLock()
        self._print(f"{label(options.kind, options.preview)} ({options.stack}):")

    def _print(self, text: str) -> None:
        with self._lock:
            self._write(text + "\n")
            sys.stdout.flush()

    def message(self, text: str) -> None:
        self._print(text)

    def show(self, event: Event) -> None:
        with self._lock:
            for kind, payload in event.items():
                if kind == "preludeEvent":
                    if self._loading:
                        self._print("Loading policy packs...: done")
                    config = payload.get("config") or {}
                    lines = "".join(f"    {k}: {v}\n" for k, v in sorted(config.items()))
                    self._print(f"Configuration:\n{lines}" if self._options.show_config else "")
                elif kind == "policyLoadEvent" and not self._loading:
                    self._loading = True
                    self._rows.setdefault(self._stack, _Row({"op": "same", "urn": self._stack}, hidden=False))
                    self._print("Loading policy packs...: starting")
                elif kind == "summaryEvent":
                    self._summary = payload
                elif kind == "stdoutEvent":
                    self._print(payload.get("message", "").rstrip("\n"))
                elif kind in ("resourcePreEvent", "resOutputsEvent", "resOpFailedEvent"):
                    self._step(kind, payload["metadata"])
                elif kind == "diagnosticEvent":
                    self._diagnostic(payload)
                elif kind == "policyEvent":
                    self._violations.append(payload)
                    self._update(self._row(payload.get("resourceUrn") or self._stack))
                elif kind == "policyRemediationEvent":
                    self._remediations.append(payload)

    def _row(self, urn: str, step: Mapping[str, Any] | None = None) -> _Row:
        """The row of a resource. What has no URN belongs to the stack's row, which exists as soon as any other does."""
        step = step or {"op": "same", "urn": urn}
        if urn in self._rows:
            return self._rows[urn]
        if urn and type_of(urn) == STACK_TYPE:
            self._stack = urn
            row = self._rows.pop("", None) or _Row(step)
            row.step = step
        else:
            row = _Row(step)
            self._rows.setdefault(self._stack, _Row({"op": "same", "urn": self._stack}, hidden=False))
        self._rows[urn] = row
        parent = (step.get("new") or step.get("old") or {}).get("parent")
        if parent and parent != self._stack and parent not in self._rows:
            # A child is told of first (destroy): the parent's row waits, unseen until it has something to say itself.
            self._rows[parent] = _Row({"op": "same", "urn": parent})
        return row

    def _step(self, kind: str, step: Mapping[str, Any]) -> None:
        root = step["urn"] == self._stack  # not yet true of the stack's first event: an unchanged stack stays quiet
        row = self._row(step["urn"], step)
        if visible(step, self._options) or root:
            row.hidden = False
        now = time.monotonic()
        if kind == "resourcePreEvent":
            row.started, row.finished, row.step = now, None, step
        elif kind == "resOpFailedEvent":
            row.failed = True
        else:
            refreshing = row.step["op"] == "refresh"
            row.finished, row.step = now, step
            row.ended.add(step["op"])
            if step["op"] == "replace":
                row.replaced = step
            custom = bool((step.get("new") or step.get("old") or {}).get("custom"))
            if not refreshing and (self._options.preview or not (custom and step["op"] != "same")):
                return
        self._update(row)

    def _diagnostic(self, d: Mapping[str, Any]) -> None:
        if d["severity"] == "debug" and not self._options.debug:
            return
        text = (d.get("prefix", "") + d["message"]).rstrip()
        # As the CLI does, an empty message still clears the line, when it is about a resource.
        row = self._row(d.get("urn") or self._stack)
        row.last = text
        row.hidden = False
        row.diagnostics.setdefault(d.get("streamID", 0), []).append(d)
        if not d.get("ephemeral"):
            row.counts[d["severity"].split("#")[0]] = row.counts.get(d["severity"].split("#")[0], 0) + 1
        if text or d.get("ephemeral"):
            self._update(row)

    def _update(self, row: _Row) -> None:
        if not row.hidden:
            self._print(self._line(row))

    def _line(self, row: _Row) -> str:
        step, op = row.step, row.step["op"]
        urn = step["urn"]
        kind, name = (type_name(type_of(urn)), name_of(urn)) if urn else (STACK_TYPE, self._stack_name)
        root = bool(urn) and type_of(urn) == STACK_TYPE
        done = row.failed or self._done or (not root and op in row.ended)
        ends = op in ("delete", "replace", "create-replacement", "delete-replaced")
        retains = ends and (step.get("old") or {}).get("retainOnDelete")
        status = self._status(row, op, done, root) + "[retain]" * bool(retains)
        return f" {OPERATIONS[op][0]} {kind} {name} {status} {self._info(row)}"

    def _status(self, row: _Row, op: str, done: bool, root: bool) -> str:
        _, planned, going, gone, failed = OPERATIONS[op]
        if not done:
            if root and op == "same":
                return "running"
            if self._options.preview:
                return planned
            so_far = "" if op == "same" or row.started is None else f" ({int(time.monotonic() - row.started)}s)"
            return going + so_far
        if self._options.preview:
            return "refresh" if op == "refresh" else "replace" if "replace" in op else planned
        bad = row.failed or row.counts["error"] > 0
        custom = bool((row.step.get("new") or row.step.get("old") or {}).get("custom"))
        if self._done and not bad and custom and op not in ("same", "remove-pending-replace") and op not in row.ended:
            return f"{going} (interrupted)"
        text = failed if bad else gone
        if op != "same" and row.started is not None and row.finished is not None:
            took = row.finished - row.started
            text += f" ({took:.2f}s)" if took < 1 else f" ({int(took)}s)"
        return f"**{text}**" if bad else text

    def _info(self, row: _Row) -> str:
        replacing = row.step["op"] in ("create-replacement", "delete-replaced")
        changes = diff_info(row.replaced if row.replaced and replacing else row.step)
        parts = [f"[{changes}]"] if changes else []
        if self._done:
            words = {"error": "error", "warning": "warning", "info": "message"}
            parts += [f"{n} {w}{'s' * (n != 1)}" for k, w in words.items() if (n := row.counts.get(k, 0))]
        elif row.last or (row.diagnostics and changes):
            parts.append(row.last)
        return "; ".join(parts).split("\n", 1)[0]

    def close(self) -> None:
        with self._lock:
            if self._done:
                return
            waiting = [
                r for u, r in self._rows.items()
                if not r.failed and not (r.step["op"] in r.ended and u and type_of(u) != STACK_TYPE)
            ]  # fmt: skip
            self._done = True
            for row in waiting:
                self._update(row)
            summary = self._summary or {}
            text, mandatory = policies_text(summary, self._violations, self._remediations)
            if text:
                self._print(text.removesuffix("\n"))
            self._print_diagnostics()
            outputs = outputs_text(self._rows[self._stack].step) if self._stack else ""
            if outputs and not self._options.suppress_outputs:
                self._print(f"Outputs:\n{outputs}")
            if self._summary is not None and not mandatory:
                errored = sum(r.counts["error"] > 0 for r in self._rows.values())
                self._print(summary_text(self._summary, errored))

    def _print_diagnostics(self) -> None:
        header = "Diagnostics:\n"
        # Resources first, in the order in which they had something to say: the cause before its consequence.
        for urn, row in sorted(self._rows.items(), key=lambda kv: kv[0] == self._stack):
            kind, name = (type_name(type_of(urn)), name_of(urn)) if urn else (STACK_TYPE, self._stack_name)
            title = f"  {kind} ({name}):\n"
            for stream, messages in sorted(row.diagnostics.items()):
                lasting = [
                    m for m in messages if not m.get("ephemeral") and (m["severity"] != "debug" or self._options.debug)
                ]
                if not lasting:
                    continue
                if stream:
                    texts = ["".join(m["message"] for m in lasting)]
                else:
                    texts = [m.get("prefix", "") + m["message"] for m in lasting]
                lines = [line.rstrip() for t in texts for line in t.rstrip().split("\n") if t.strip()]
                if lines:
                    self._print(header + title + "".join(f"    {line}\n" for line in lines))
                    header = title = ""
