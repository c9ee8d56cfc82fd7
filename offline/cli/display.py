"""Engine events as the CLI prints them: the non-interactive progress text, the rich diff, and the JSON documents.

A display is a pure function of events: ``show`` for each, ``close`` after the last.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from offline.engine.model import SECRET_SIGNATURE, SIGNATURE, STACK_TYPE, UNKNOWN_WIRE, Event
from offline.engine.paths import name_of, parse_path, type_of

# operation -> sign, as planned, going on, done, failed
OPERATIONS: Final = {
    "same": ("  ", "", "", "", "failed"),
    "create": ("+ ", "create", "creating", "created", "creating failed"),
    "update": ("~ ", "update", "updating", "updated", "updating failed"),
    "delete": ("- ", "delete", "deleting", "deleted", "deleting failed"),
    "replace": ("+-", "replace", "replacing", "replaced", "replacing failed"),
    "create-replacement": (
        "++",
        "create replacement",
        "creating replacement",
        "created replacement",
        "creating failed",
    ),
    "delete-replaced": ("--", "delete original", "deleting original", "deleted original", "deleting failed"),
    "read": ("> ", "read", "reading", "read", "reading failed"),
    "read-replacement": (
        ">>",
        "read for replacement",
        "reading for replacement",
        "read for replacement",
        "reading failed",
    ),
    "refresh": ("~ ", "refreshing", "refreshing", "refresh", "refreshing failed"),
    "read-discard": ("< ", "discard", "discarding", "discarded", "discarding failed"),
    "discard-replaced": ("<<", "discard original", "discarding original", "discarded original", "discarding failed"),
    "remove-pending-replace": ("~ ", "", "", "", ""),
}
PAST: Final = {
    "create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "refresh": "refreshed",
    "create-replacement": "create-replaced", "delete-replaced": "delete-replaced", "discard-replaced": "discarded",
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    kind: str  # preview, update, refresh, destroy
    preview: bool
    stack: str
    project: str
    suppress_outputs: bool = False
    suppress_progress: bool = False
    show_config: bool = False
    show_sames: bool = False
    debug: bool = False


class Display(Protocol):
    def show(self, event: Event) -> None: ...
    def message(self, text: str) -> None:
        """A word of the command itself, between the events."""

    def close(self) -> None: ...


def label(kind: str, preview: bool) -> str:
    plain = {"preview": "Previewing update", "update": "Updating", "refresh": "Refreshing", "destroy": "Destroying"}[
        kind
    ]
    return f"Previewing {'update' if kind == 'update' else kind}" if preview and kind != "preview" else plain


def type_name(token: str) -> str:
    """``aws:s3/bucket:Bucket`` is shown as ``aws:s3:Bucket``."""
    parts = token.split(":")
    if len(parts) == 3 and "/" in parts[1]:
        module, _, rest = parts[1].rpartition("/")
        if rest and rest[0].upper() + rest[1:] == parts[2]:
            return f"{parts[0]}:{module}:{parts[2]}"
    return token


# --- values -------------------------------------------------------------------------------------------------------


def render(value: Any, indent: int) -> str:
    """A value as the Outputs section shows it; ``indent`` is that of the line it begins on, in steps of 4 spaces."""
    pad = "    " * (indent + 1)
    if isinstance(value, Mapping):
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            return "[secret]"
        if not value:
            return "{}"
        width = max(map(len, value))
        return (
            "{\n"
            + "".join(f"{pad}{k:<{width}}: {render(v, indent + 1)}\n" for k, v in sorted(value.items()))
            + "    " * indent
            + "}"
        )
    if isinstance(value, list):
        if not value:
            return "[]"
        return (
            "[\n"
            + "".join(f"{pad}[{i}]: {render(v, indent + 1)}\n" for i, v in enumerate(value))
            + "    " * indent
            + "]"
        )
    if isinstance(value, str):
        return (
            value
            if value == "[secret]"
            else "[unknown]"
            if value == UNKNOWN_WIRE
            else json.dumps(value, ensure_ascii=False)
        )
    return "<null>" if value is None else json.dumps(value)


def _outputs_text(step: Mapping[str, Any]) -> str:
    new = (step.get("new") or {}).get("outputs") or {}
    old_state = step.get("old")
    old = (old_state or {}).get("outputs") or {}
    if step.get("op") == "delete":
        return ""
    compare = old_state is not None and step.get("op") != "create"
    keys = sorted(set(new) | (set(old) if compare else set()))
    width = max((len(k) for k in keys), default=0)
    lines = []
    for k in keys:
        sign, text = " ", ""
        if k not in new:
            sign, text = "-", render(old[k], 1)
        elif compare and k not in old:
            sign, text = "+", render(new[k], 1)
        elif compare and old[k] != new[k]:
            sign, text = "~", f"{render(old[k], 1)} => {render(new[k], 1)}"
        else:
            text = render(new[k], 1)
        lines.append(f"  {sign} {k:<{width}}: {text}\n")
    return "".join(lines)


def diff_info(step: Mapping[str, Any]) -> str:
    """``diff: ~spec,+data``: the top-level properties that change."""
    old, new = step.get("old"), step.get("new")
    if not old or not new:
        return ""
    adds: set[str] = set()
    deletes: set[str] = set()
    updates: set[str] = set()
    if step["op"] != "same":
        if step.get("detailedDiff") is not None:
            for path, d in step["detailedDiff"].items():
                top = _first(path)
                if top == path:
                    (
                        adds
                        if d["diffKind"].startswith("add")
                        else deletes
                        if d["diffKind"].startswith("delete")
                        else updates
                    ).add(top)
                else:
                    updates.add(top)
        else:
            a, b = old.get("inputs") or {}, new.get("inputs") or {}
            for k in set(a) | set(b):
                if not k.startswith("__") and a.get(k) != b.get(k):
                    (adds if k not in a else deletes if k not in b else updates).add(k)
    for k in ("provider", "protect"):
        if (old.get(k) or "") != (new.get(k) or ""):
            updates.add(k)
    only = set(step.get("diffs") or [])
    parts = [
        sign + ",".join(sorted(k for k in keys if not only or k in only or k in ("provider", "protect")))
        for sign, keys in (("+", adds), ("-", deletes), ("~", updates))
    ]
    text = "".join(p for p in parts if len(p) > 1)
    return f"diff: {text}" if text else ""


def _first(path: str) -> str:
    if path.startswith('["'):
        return path[2 : path.index('"]')]
    return path.split(".", 1)[0].split("[", 1)[0]


def visible(step: Mapping[str, Any], options: Options) -> bool:
    if step["type"].startswith("pulumi:providers:") and name_of(step["urn"]).startswith("default"):
        return False
    return options.show_sames if step["op"] in ("same", "read", "read-discard", "read-replacement") else True


def summary_text(summary: Mapping[str, Any], errored: int) -> str:
    changes: Mapping[str, int] = summary.get("resourceChanges") or {}
    preview = summary.get("isPreview")
    shown = [(op, changes[op]) for op in OPERATIONS if changes.get(op) and op != "same" and not op.startswith("read")]
    out = "Resources:\n"
    for op, n in shown:
        out += f"    {OPERATIONS[op][0]}{n} {f'to {op}' if preview else PAST.get(op, op)}\n"
    total = sum(n for _, n in shown)
    pieces = [f"{total} change{'s' * (total != 1)}"] * (len(shown) >= 2)
    pieces += [f"{changes.get('same')} unchanged"] * bool(changes.get("same"))
    if pieces:
        out += f"    {'. '.join(pieces)}\n"
    if errored:
        out += f"    {errored} errored\n"
    if not preview:
        seconds = math.ceil(summary.get("durationSeconds", 0))
        out += f"\nDuration: {f'{seconds // 60}m{seconds % 60}s' if seconds >= 60 else f'{seconds}s'}\n"
    return out


def policies_text(
    summary: Mapping[str, Any], violations: list[Mapping[str, Any]], remediations: list[Mapping[str, Any]]
) -> tuple[str, bool]:
    """The Policies section, and whether a mandatory policy was violated."""
    packs: dict[str, list[str]] = {}
    for name, version in sorted((summary.get("PolicyPacks") or {}).items()):
        base, _, place = name.partition("|local|")
        packs.setdefault(f"{base}@v{version}", []).extend([place] if place else [])
    if not packs:
        return "", False
    rank = {"remediate": 0, "mandatory": 1, "advisory": 2}
    mandatory, out = False, "Policies:\n"
    for pack, places in sorted(packs.items()):
        mine = [v for v in violations if f"{v['policyPackName']}@v{v['policyPackVersion']}" == pack]
        mine.sort(key=lambda v: (rank.get(v["enforcementLevel"], 9), v["policyName"], v.get("resourceUrn", "")))
        bad = any(v["enforcementLevel"] == "mandatory" for v in mine)
        mandatory |= bad
        where = f" (local: {'; '.join(sorted(places))})" if places else ""
        out += f"    {'❌' if bad else '⚠️' if mine else '✅'} {pack}{where}\n"
        fixed = [r["policyName"] for r in remediations if f"{r['policyPackName']}@v{r['policyPackVersion']}" == pack]
        for name in sorted(set(fixed)):
            n = fixed.count(name)
            out += f"        - [remediate]  {name}  ({n} resource{'s' * (n != 1)})\n"
        for v in mine:
            urn = v.get("resourceUrn") or ""
            clause = f"  ({type_name(type_of(urn))}: {name_of(urn)})" if urn else ""
            out += f"        - [{v['enforcementLevel']}]  {v['policyName']}{clause}\n"
            out += "".join(f"          {line}\n" for line in v["message"].rstrip("\n").split("\n"))
    return out + "\n", mandatory


# --- progress -----------------------------------------------------------------------------------------------------


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
    """What the CLI writes without a terminal: a line for every change of a row, then diagnostics, outputs and the summary."""

    def __init__(
        self, options: Options, write: Callable[[str], object] | None = None, *, heartbeat: bool = True
    ) -> None:
        self._options, self._write = options, write or sys.stdout.write
        self._rows: dict[str, _Row] = {}
        self._stack, self._stack_name = "", f"{options.project}-{options.stack}"
        self._done = self._loading = False
        self._summary: Mapping[str, Any] | None = None
        self._violations: list[Mapping[str, Any]] = []
        self._remediations: list[Mapping[str, Any]] = []
        self._lock = threading.RLock()
        self._dots = False
        self._stopped = threading.Event()
        self._print(f"{label(options.kind, options.preview)} ({options.stack}):")
        if heartbeat and not options.suppress_progress:
            threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        """Says once a second that work goes on, as long as nothing else is printed."""
        action = label(self._options.kind, self._options.preview).lower()
        while not self._stopped.wait(1):
            with self._lock:
                if self._done:
                    return
                self._write("." if self._dots else f"@ {action}....")
                sys.stdout.flush()
                self._dots = True

    def _print(self, text: str) -> None:
        with self._lock:
            self._write(("\n" if self._dots else "") + text + "\n")
            self._dots = False
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
                    self._print(
                        "Configuration:\n" + "".join(f"    {k}: {v}\n" for k, v in sorted(config.items()))
                        if self._options.show_config
                        else ""
                    )
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
        retains = (step.get("old") or {}).get("retainOnDelete") and op in (
            "delete",
            "replace",
            "create-replacement",
            "delete-replaced",
        )
        status = self._status(row, op, done, root) + "[retain]" * bool(retains)
        return f" {OPERATIONS[op][0]} {kind} {name} {status} {self._info(row)}"

    def _status(self, row: _Row, op: str, done: bool, root: bool) -> str:
        _, planned, going, gone, failed = OPERATIONS[op]
        if not done:
            if root and op == "same":
                return "running"
            if self._options.preview:
                return planned
            return (
                f"{going} ({int(time.monotonic() - row.started)}s)"
                if op != "same" and row.started is not None
                else going
            )
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
        step = (
            row.replaced if row.replaced and row.step["op"] in ("create-replacement", "delete-replaced") else row.step
        )
        changes = diff_info(step)
        parts = [f"[{changes}]"] if changes else []
        if self._done:
            words = {"error": "error", "warning": "warning", "info": "message"}
            parts += [f"{n} {w}{'s' * (n != 1)}" for k, w in words.items() if (n := row.counts.get(k, 0))]
        elif row.last or (row.diagnostics and changes):
            parts.append(row.last)
        return "; ".join(parts).split("\n", 1)[0]

    def close(self) -> None:
        self._stopped.set()
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
            if (
                not self._options.suppress_outputs
                and self._stack
                and (text := _outputs_text(self._rows[self._stack].step))
            ):
                self._print(f"Outputs:\n{text}")
            if self._summary is not None and not mandatory:
                errored = sum(r.counts["error"] > 0 for r in self._rows.values())
                self._print(summary_text(self._summary, errored))

    def _print_diagnostics(self) -> None:
        header = "Diagnostics:\n"
        # Resources first, in the order in which they had something to say: the cause before its consequence.
        for urn, row in sorted(self._rows.items(), key=lambda kv: kv[0] == self._stack):
            title = (
                f"  {type_name(type_of(urn))} ({name_of(urn)}):\n" if urn else f"  {STACK_TYPE} ({self._stack_name}):\n"
            )
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


class Diff:
    """``--diff``: every changing resource with its changed properties, as they come."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._summary: Mapping[str, Any] | None = None
        self._root: Mapping[str, Any] | None = None
        self._shown: set[str] = set()
        self._refreshed: set[str] = set()
        self._violations: list[Mapping[str, Any]] = []
        self._errors = 0
        print(f"{label(options.kind, options.preview)} ({options.stack}):", flush=True)

    def message(self, text: str) -> None:
        print(text, flush=True)

    def show(self, event: Event) -> None:
        for kind, payload in event.items():
            if kind == "summaryEvent":
                self._summary = payload
            elif kind == "diagnosticEvent" and payload["severity"] != "debug":
                text = (payload.get("prefix", "") + payload["message"]).rstrip("\n")
                if text:
                    print(text, file=sys.stderr)
                self._errors += payload["severity"] == "error"
            elif kind == "policyEvent":
                self._violations.append(payload)
            elif kind in ("resourcePreEvent", "resOutputsEvent"):
                step = payload["metadata"]
                if type_of(step["urn"]) == STACK_TYPE and kind == "resOutputsEvent":
                    self._root = step
                # What a refresh has found is known at its end, and shown if it is something or the stack, which says
                # only that what follows is its.
                if kind == "resourcePreEvent":
                    if step["op"] == "refresh":
                        self._refreshed.add(step["urn"])
                    if step["op"] != "refresh" or type_of(step["urn"]) == STACK_TYPE:
                        self._step(step)
                elif step["urn"] in self._refreshed:
                    self._refreshed.discard(step["urn"])
                    if step.get("detailedDiff"):
                        self._step(step)

    def _step(self, step: Mapping[str, Any]) -> None:
        root = type_of(step["urn"]) == STACK_TYPE
        key = step["op"] + step["urn"]
        if not (visible(step, self._options) or root) or key in self._shown:
            return
        self._shown.add(key)
        state = step.get("new") or step.get("old") or {}
        pad = "" if root else "    "
        lines = [f"{pad}{OPERATIONS[step['op']][0]}{type_name(step['type'])}: ({step['op']})"]
        if identity := (step.get("old") or {}).get("id"):
            lines.append(f"{pad}    [id={identity}]")
        lines.append(f"{pad}    [urn={step['urn']}]")
        if state.get("provider"):
            lines.append(f"{pad}    [provider={state['provider']}]")
        old, new = (step.get("old") or {}).get("inputs") or {}, (step.get("new") or {}).get("inputs") or {}
        if step["op"] in ("create", "create-replacement"):
            lines += self._inputs(new, pad)
        elif step.get("detailedDiff"):
            lines += _tree(_nested(step["detailedDiff"]), old, new, pad + "  ")
        print("\n".join(lines), flush=True)

    @staticmethod
    def _inputs(inputs: Mapping[str, Any], pad: str) -> list[str]:
        keys = [k for k in sorted(inputs) if not k.startswith("__")]
        width = max((len(k) for k in keys), default=0)
        return [f"{pad}    {k:<{width}}: {render(inputs[k], 2 if pad else 1)}" for k in keys]

    def close(self) -> None:
        if self._root is not None and not self._options.suppress_outputs and (text := _outputs_text(self._root)):
            print(f"    --outputs:--\n{text}", end="")
        summary = self._summary or {}
        policies, mandatory = policies_text(summary, self._violations, [])
        print(policies, end="")
        if self._summary is not None and not mandatory:
            print(summary_text(self._summary, self._errors))


def _nested(detailed: Mapping[str, Any]) -> dict[str | int, Any]:
    """``{"spec.replicas": kind}`` as ``{"spec": {"replicas": (kind,)}}``."""
    out: dict[str | int, Any] = {}
    for path, d in detailed.items():
        *above, last = parse_path(path)
        node = out
        for part in above:
            inner = node.setdefault(part, {})
            if not isinstance(inner, dict):  # the whole of it differs already
                break
            node = inner
        else:
            node[last] = (d["diffKind"],)
    return out


def _tree(node: Mapping[str | int, Any], old: Any, new: Any, pad: str) -> list[str]:
    """The properties that differ, each under the one it belongs to."""
    labels = {k: f"[{k}]" if isinstance(k, int) else k for k in sorted(node, key=str)}
    width = max(map(len, labels.values()))
    lines = []
    for key, label in labels.items():
        below, before, after = node[key], _item(old, key), _item(new, key)
        if isinstance(below, tuple):
            (kind,) = below
            was, now = render(before, len(pad) // 4), render(after, len(pad) // 4)
            text = {"u": f"{was} => {now}", "a": now, "d": was}[kind[0]]
            sign, more = {"u": "~", "a": "+", "d": "-"}[kind[0]], " [replaces]" if kind.endswith("replace") else ""
            lines.append(f"{pad}{sign} {label:<{width}}: {text}{more}")
        else:
            begin, end = "[]" if all(isinstance(k, int) for k in below) else "{}"
            inner = _tree(below, before, after, pad + "    " * (2 if isinstance(key, int) else 1))
            lines += [f"{pad}~ {label:<{width}}: {begin}", *inner, f"{pad}  {end}"]
    return lines


def _item(value: Any, key: str | int) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):  # not there, or a path of a provider's own making
        return None


# --- JSON ---------------------------------------------------------------------------------------------------------


def masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return (
            "[secret]" if value.get(SIGNATURE) == SECRET_SIGNATURE else {k: masked(v) for k, v in sorted(value.items())}
        )
    return [masked(v) for v in value] if isinstance(value, list) else value


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
                text = payload.get("prefix", "") + payload["message"]
                self._diagnostics.append(
                    {
                        k: v
                        for k, v in (("urn", payload.get("urn")), ("message", text), ("severity", payload["severity"]))
                        if v
                    }
                )
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
        detailed = step.get("detailedDiff")
        out["detailedDiff"] = detailed and {
            p: {"kind": d["diffKind"], "inputDiff": d["inputDiff"]} for p, d in sorted(detailed.items())
        }
        if detailed == {}:
            out["detailedDiff"] = {}
        return out

    def close(self) -> None:
        digest: dict[str, Any] = {}
        for key, value in (
            ("config", self._config), ("steps", list(self._steps.values())), ("diagnostics", self._diagnostics),
            ("duration", int((time.monotonic() - self._began) * 1e9)), ("changeSummary", self._summary.get("resourceChanges")),
            ("maybeCorrupt", self._summary.get("maybeCorrupt")),
        ):  # fmt: skip
            if value:
                digest[key] = value
        print(json.dumps(digest, indent=4, ensure_ascii=False), flush=True)


def _whole(state: Any, short: Mapping[str, Any]) -> dict[str, Any]:
    """The state as the checkpoint has it, if the event came with it; otherwise what the event says."""
    if state is None:
        kept = {k: masked(v) for k, v in short.items() if v not in ("", None, {}, [])}
        return {"urn": short["urn"], "custom": bool(short.get("custom")), **kept}
    from offline.backend.state import ALWAYS, FIELDS, VALUES
    from offline.engine.events import masked as without_secrets

    out: dict[str, Any] = {}
    for attribute, name in FIELDS.items():
        value = getattr(state, attribute)
        if value or attribute in ALWAYS:
            out[name] = masked(without_secrets(value)) if attribute in VALUES else value
    out |= state.raw
    return out


def public(event: Event) -> Event:
    """The event without what is only for displays in this process (keys of the metadata that begin with ``_``)."""
    out: Event = {}
    for kind, payload in event.items():
        if isinstance(payload, dict) and "metadata" in payload:
            meta = {k: v for k, v in payload["metadata"].items() if not k.startswith("_")}
            payload = {**payload, "metadata": meta}
        out[kind] = payload
    return out


class Lines:
    """``up --json``: the events themselves, a line each."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def message(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def show(self, event: Event) -> None:
        print(json.dumps(public(event), separators=(",", ":"), ensure_ascii=False), flush=True)

    def close(self) -> None:
        pass
