"""What the displays share: their options, and the pieces of text that more than one of them prints."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from offline.engine.model import SECRET_SIGNATURE, SIGNATURE, UNKNOWN_WIRE, Event
from offline.engine.paths import name_of, type_of

# operation -> sign, as planned, going on, done, failed
OPERATIONS: Final = {
    "same": ("  ", "", "", "", "failed"),
    "create": ("+ ", "create", "creating", "created", "creating failed"),
    "update": ("~ ", "update", "updating", "updated", "updating failed"),
    "delete": ("- ", "delete", "deleting", "deleted", "deleting failed"),
    "replace": ("+-", "replace", "replacing", "replaced", "replacing failed"),
    "create-replacement": ("++", "create replacement", "creating replacement", "created replacement", "creating failed"),
    "delete-replaced": ("--", "delete original", "deleting original", "deleted original", "deleting failed"),
    "refresh": ("~ ", "refreshing", "refreshing", "refresh", "refreshing failed"),
    "remove-pending-replace": ("~ ", "", "", "", ""),
}  # fmt: skip
PAST: Final = {
    "create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "refresh": "refreshed",
    "create-replacement": "create-replaced", "delete-replaced": "delete-replaced",
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    kind: str  # preview, update, refresh, destroy
    preview: bool
    stack: str
    project: str
    suppress_outputs: bool = False
    show_config: bool = False
    show_sames: bool = False
    debug: bool = False


class Display(Protocol):
    def show(self, event: Event) -> None: ...
    def message(self, text: str) -> None:
        """A word of the command itself, between the events."""

    def close(self) -> None: ...


def public(event: Event) -> Event:
    """The event without what is only for displays in this process (keys of the metadata that begin with ``_``)."""
    out: Event = {}
    for kind, payload in event.items():
        if isinstance(payload, dict) and "metadata" in payload:
            meta = {k: v for k, v in payload["metadata"].items() if not k.startswith("_")}
            payload = {**payload, "metadata": meta}
        out[kind] = payload
    return out


def label(kind: str, preview: bool) -> str:
    if preview:
        return f"Previewing {'update' if kind == 'preview' else kind}"
    return {"update": "Updating", "refresh": "Refreshing", "destroy": "Destroying"}[kind]


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
        inside = "".join(f"{pad}{k:<{width}}: {render(v, indent + 1)}\n" for k, v in sorted(value.items()))
        return "{\n" + inside + "    " * indent + "}"
    if isinstance(value, list):
        if not value:
            return "[]"
        inside = "".join(f"{pad}[{i}]: {render(v, indent + 1)}\n" for i, v in enumerate(value))
        return "[\n" + inside + "    " * indent + "]"
    if value == UNKNOWN_WIRE:
        return "[unknown]"
    if value == "[secret]":
        return "[secret]"
    return "<null>" if value is None else json.dumps(value, ensure_ascii=False)


def outputs_text(step: Mapping[str, Any]) -> str:
    """The Outputs section: of the stack's step, with what has changed."""
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
    changed: dict[str, set[str]] = {"add": set(), "delete": set(), "update": set()}
    if step["op"] != "same" and step.get("detailedDiff") is not None:
        for path, d in step["detailedDiff"].items():
            top = _first(path)
            changed[d["diffKind"].removesuffix("-replace") if top == path else "update"].add(top)
    elif step["op"] != "same":
        a, b = old.get("inputs") or {}, new.get("inputs") or {}
        for k in set(a) | set(b):
            if not k.startswith("__") and a.get(k) != b.get(k):
                changed["add" if k not in a else "delete" if k not in b else "update"].add(k)
    if only := set(step.get("diffs") or []):
        changed = {kind: keys & only for kind, keys in changed.items()}
    changed["update"] |= {k for k in ("provider", "protect") if (old.get(k) or "") != (new.get(k) or "")}
    signs = {"+": changed["add"], "-": changed["delete"], "~": changed["update"]}
    text = "".join(sign + ",".join(sorted(keys)) for sign, keys in signs.items() if keys)
    return f"diff: {text}" if text else ""


def _first(path: str) -> str:
    if path.startswith('["'):
        return path[2 : path.index('"]')]
    return path.split(".", 1)[0].split("[", 1)[0]


def visible(step: Mapping[str, Any], options: Options) -> bool:
    if step["type"].startswith("pulumi:providers:") and name_of(step["urn"]).startswith("default"):
        return False
    return step["op"] != "same" or options.show_sames


def summary_text(summary: Mapping[str, Any], errored: int) -> str:
    changes: Mapping[str, int] = summary.get("resourceChanges") or {}
    preview = summary.get("isPreview")
    shown = [(op, changes[op]) for op in OPERATIONS if changes.get(op) and op != "same"]
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
