"""What changed between the object as it was last seen and the new inputs, as a detailed diff.

The last seen object holds far more than a program sets. It is first pruned to the shape of the inputs that made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from offline.engine.paths import PropertyPath as Path
from offline.engine.paths import covers, parse_path
from offline.engine.provider import PropertyDiff
from offline.engine.values import UNKNOWN


def prune(live: Any, shape: Any) -> Any:
    """``live`` without what ``shape`` does not have; lists are matched by position."""
    if isinstance(live, dict) and isinstance(shape, dict):
        return {k: prune(v, shape[k]) for k, v in live.items() if k in shape}
    if isinstance(live, list) and isinstance(shape, list):
        if live and shape and type(live[0]) is not type(shape[0]):
            return live
        return [prune(v, s) for v, s in zip(live, shape, strict=False)]
    return live


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[Path, str]:
    """Path -> add, update or delete, as deep as both sides have the same structure."""
    out: dict[Path, str] = {}
    _compare((), old, new, out)
    return out


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, bool) is isinstance(b, bool) and a == b


def _compare(path: Path, old: Any, new: Any, out: dict[Path, str]) -> None:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for k, v in new.items():
            if k in old:
                _compare((*path, k), old[k], v, out)
            elif v is not None:
                out[(*path, k)] = "add"
        for k in old:
            if k not in new:
                out[(*path, k)] = "delete"
    elif isinstance(old, list) and isinstance(new, list):
        for i, (a, b) in enumerate(zip(old, new, strict=False)):
            _compare((*path, i), a, b, out)
        for i in range(len(old), len(new)):
            out[(*path, i)] = "add"
        for i in range(len(new), len(old)):
            out[(*path, i)] = "delete"
    elif new is None and old is not None:
        out[path] = "delete"
    elif not _same(old, new):
        out[path] = "update"


def at(value: Any, path: Iterable[str | int]) -> Any:
    """The value at a path, None if there is none."""
    for step in path:
        if isinstance(value, Mapping) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def show(path: Path) -> str:
    """``spec.containers[0].image``, ``metadata.annotations["a.b/c"]``: as the CLI prints it."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.search(r'[."\[\]]', step):
            text += '["' + step.replace('"', '\\"') + '"]'
        else:
            text += f".{step}" if text else step
    return text


def _forced(pattern: Sequence[str], path: Path, value: Any) -> bool:
    """Whether a change at ``path``, to ``value``, touches the pattern: above it, at it, or below it inside the value."""
    for i, want in enumerate(pattern):
        if i < len(path):
            if path[i] != want and not (want == "[*]" and isinstance(path[i], int)):
                return False
        elif want == "[*]":
            return isinstance(value, list) and any(_forced(pattern[i + 1 :], (), v) for v in value)
        elif isinstance(value, Mapping) and want in value:
            value = value[want]
        else:
            return False
    return True


def _split(pattern: str) -> Iterator[str]:
    for part in pattern.strip(".").split("."):
        name, star, _ = part.partition("[*]")
        yield name
        if star:
            yield star


def detailed(
    old: Mapping[str, Any], new: Mapping[str, Any], force_new: Iterable[str], ignore: Iterable[str] = ()
) -> dict[str, PropertyDiff]:
    """The detailed diff. Kinds that replace end in ``-replace``."""
    patterns = [list(_split(p)) for p in force_new]
    ignored = [parse_path(p) for p in ignore]
    out: dict[str, PropertyDiff] = {}
    for path, kind in changes(old, new).items():
        if any(covers(p, path) for p in ignored):
            continue
        value = at(new, path) if kind != "delete" else None
        replaces = any(_forced(p, path, None if value is UNKNOWN else value) for p in patterns)
        out[show(path)] = PropertyDiff(f"{kind}-replace" if replaces else kind, input_diff=kind == "delete")
    return out
