"""``--diff``: every changing resource with its changed properties, as they come."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from offline.engine.model import STACK_TYPE, Event
from offline.engine.paths import parse_path, type_of

from .text import OPERATIONS, Options, label, outputs_text, policies_text, render, summary_text, type_name, visible


class Diff:
    """See the module."""

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
        if self._root is not None and not self._options.suppress_outputs and (text := outputs_text(self._root)):
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
    for key, name in labels.items():
        below, before, after = node[key], _item(old, key), _item(new, key)
        if isinstance(below, tuple):
            (kind,) = below
            was, now = render(before, len(pad) // 4), render(after, len(pad) // 4)
            text = {"u": f"{was} => {now}", "a": now, "d": was}[kind[0]]
            sign, more = {"u": "~", "a": "+", "d": "-"}[kind[0]], " [replaces]" if kind.endswith("replace") else ""
            lines.append(f"{pad}{sign} {name:<{width}}: {text}{more}")
        else:
            begin, end = "[]" if all(isinstance(k, int) for k in below) else "{}"
            inner = _tree(below, before, after, pad + "    " * (2 if isinstance(key, int) else 1))
            lines += [f"{pad}~ {name:<{width}}: {begin}", *inner, f"{pad}  {end}"]
    return lines


def _item(value: Any, key: str | int) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):  # not there, or a path of a provider's own making
        return None
