"""What a preview would do to each resource, and how what it makes differs from what is there."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.redact import MASK

from .steps import Run, Step

Operation = Literal["create", "update", "replace", "delete"]
_OPERATIONS: tuple[Operation, ...] = ("create", "update", "replace", "delete")
_SIGNS: Mapping[Operation, str] = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
# How the engine writes a value that only the update will know (Pulumi's UnknownStringValue).
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_LINES = 20  # of a text that differs
_COMPARED = 2000  # lines of each text; difflib takes longer than in proportion to them
_WIDTH = 100  # characters of a value
_PLAIN = re.compile(r"[A-Za-z_][\w-]*")


@dataclass(frozen=True)
class Change:
    """A property that will differ.

    Args:
        path: as Pulumi writes it; elements of lists that have names go by these.
        old: the value as text, None where there was none.
        new: likewise.
    """

    path: str
    old: str | None
    new: str | None

    def lines(self) -> Iterator[str]:
        """For people: one line, or those that differ of texts of several."""
        if "\n" not in f"{self.old}{self.new}":
            yield f"{self.path}: {_short(self.old)} -> {_short(self.new)}"
            return
        yield f"{self.path}:"
        old, new = _apart((self.old or "").split("\n"), (self.new or "").split("\n"))
        found = list(difflib.unified_diff(old[:_COMPARED], new[:_COMPARED], lineterm="", n=0))
        told = [line for line in found[2:] if not line.startswith("@@")]
        yield from (f"  {line}" for line in told[:_LINES])
        if max(len(old), len(new)) > _COMPARED:
            yield "  ... and more"
        elif len(told) > _LINES:
            yield f"  ... and {len(told) - _LINES} more lines"


@dataclass(frozen=True)
class Planned:
    """What would be done to one resource.

    Args:
        module: it belongs to, empty for the stack's own.
        operation: to be done.
        kind: of the object: Job, Deployment, Service.
        name: of the object.
        instead_of: the object of the previous version whose place it takes, empty for none.
        changes: what differs from what is there, or from that object but for its version.
    """

    module: str
    operation: Operation
    kind: str
    name: str
    instead_of: str = ""
    changes: tuple[Change, ...] = ()

    @property
    def title(self) -> str:
        return f"{_SIGNS[self.operation]} {self.kind} {self.name}"


def _apart(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    """The lines without those that are the same at the beginning and at the end."""
    most = min(len(old), len(new))
    start = next((n for n in range(most) if old[n] != new[n]), most)
    end = next((n for n in range(most - start) if old[-1 - n] != new[-1 - n]), most - start)
    return old[start : len(old) - end], new[start : len(new) - end]


def planned(run: Run, clean: Callable[[str], str]) -> tuple[Planned, ...]:
    """The plan of a preview, in the engine's order, what is deleted last.

    Args:
        run: a preview.
        clean: keeps secrets out.
    """
    steps = [s for s in run.objects if s.op in _OPERATIONS]
    old = {_place(s): s for s in steps if s.op == "delete"}
    found = [_planned(s, old.get(_place(s)) if s.op == "create" else None, clean) for s in steps]
    return tuple(sorted(found, key=lambda each: each.operation == "delete"))


def lines(plan: Iterable[Planned]) -> Iterator[str]:
    """The plan of a module for people; what has nothing more to say stands in one line with its like."""
    silent: list[Planned] = []
    for each in plan:
        if silent and (each.changes or each.operation != silent[0].operation):
            yield _together(silent)
            silent = []
        if each.changes:
            yield each.title + (f" (compared with {each.instead_of})" if each.instead_of else "")
            for change in each.changes:
                yield from (f"    {line}" for line in change.lines())
        else:
            silent.append(each)
    if silent:
        yield _together(silent)


def _together(silent: Sequence[Planned]) -> str:
    return f"{_SIGNS[silent[0].operation]} " + ", ".join(f"{each.kind} {each.name}" for each in silent)


def _planned(step: Step, previous: Step | None, clean: Callable[[str], str]) -> Planned:
    operation: Operation = step.op  # type: ignore[assignment]
    changes: list[Change] = []
    if previous is not None:
        changes = list(_changes("", previous.old, step.new, clean, _renaming(previous, step)))
    elif operation in ("update", "replace"):
        # Where only secrets differ, both sides look the same.
        changes = list(_changes("", step.old, step.new, clean)) or [Change(p, MASK, MASK) for p in step.differing]
    if step.kind == "Secret":
        changes = [_hidden(change) for change in changes]
    instead_of = (previous.object_name or previous.name) if previous else ""
    return Planned(step.module, operation, step.kind, step.object_name or step.name, instead_of, tuple(changes))


def _hidden(change: Change) -> Change:
    """A property of a Secret, without its value."""
    if not change.path.startswith(("data", "stringData")):
        return change
    return Change(change.path, change.old and MASK, change.new and MASK)


def _place(step: Step) -> tuple[str, str, str, str]:
    """What a resource and its successor of another version have in common."""
    name = step.name.replace(step.version, "*") if step.version else step.name
    return step.module, step.part, step.kind, re.sub(r"-[0-9a-f]{8,}$", "-#", name)


def _renaming(old: Step, new: Step) -> Callable[[str], str]:
    """What makes a text of the previous version one of the new: its names and its version."""
    pairs = {old.object_name: new.object_name, old.name: new.name, old.version: new.version}
    known = sorted((each for each in pairs if each), key=len, reverse=True)
    if not known:
        return str
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(each)}(?!\w|\.\w)" for each in known))
    return lambda text: pattern.sub(lambda m: pairs[m[0]], text)


def _changes(
    path: str, old: Any, new: Any, clean: Callable[[str], str], renamed: Callable[[str], str] = str
) -> Iterator[Change]:
    if old == new or (isinstance(old, str) and renamed(old) == new):
        return
    left, right = _keyed(old), _keyed(new)
    if left is None or right is None:
        yield Change(path, _text(old, clean), _text(new, clean))
        return
    named = isinstance(old, list) or isinstance(new, list)
    for key in dict.fromkeys([*left, *right]):
        if key.startswith("__"):
            continue  # the provider's own
        step = f"[{key}]" if named else f".{key}" if _PLAIN.fullmatch(key) else f"[{json.dumps(key)}]"
        yield from _changes((path + step).removeprefix("."), left.get(key), right.get(key), clean, renamed)


def _keyed(value: Any) -> Mapping[str, Any] | None:
    """A value by its parts, None where it has none. An element of a list goes by its name, so that one more moves no other."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, list):
        return None
    names = [each.get("name") if isinstance(each, Mapping) else None for each in value]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return {str(name): each for name, each in zip(names, value, strict=True)}
    return {str(index): each for index, each in enumerate(value)}


def _text(value: Any, clean: Callable[[str], str]) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return "(known after the update has begun)" if value == _UNKNOWN else clean(value)
    return clean(json.dumps(value))


def _short(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if len(value) <= _WIDTH else f"{value[:_WIDTH]}..."
