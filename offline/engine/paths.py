"""The engine's small grammars: URNs, target patterns and property paths."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .model import PROVIDER_PREFIX, STACK_TYPE, ResourceState, Urn

# --- URNs ---------------------------------------------------------------------------------------------------------


def qualified_type(urn: Urn) -> str:
    """The type with its parents' types: ``a:b:C$d:e:F``."""
    return urn.split("::")[2]


def type_of(urn: Urn) -> str:
    return qualified_type(urn).rsplit("$", 1)[-1]


def name_of(urn: Urn) -> str:
    return urn.split("::", 3)[3]


def make_urn(stack: str, project: str, parent: Urn, type: str, name: str) -> Urn:
    prefix = ""
    if parent and qualified_type(parent) != STACK_TYPE:
        prefix = qualified_type(parent) + "$"
    return f"urn:pulumi:{stack}::{project}::{prefix}{type}::{name}"


def split_reference(reference: str) -> tuple[Urn, str]:
    """A provider reference ``<urn>::<id>`` in its two parts."""
    urn, _, id = reference.rpartition("::")
    return urn, id


def is_provider(type: str) -> bool:
    return type.startswith(PROVIDER_PREFIX)


def is_default_provider(urn: Urn) -> bool:
    return is_provider(type_of(urn)) and name_of(urn).startswith("default")


def dependencies_of(state: ResourceState, *, parent: bool = True) -> set[Urn]:
    """Every URN that must exist before this resource: dependencies, provider and, if asked for, parent."""
    urns = {*state.dependencies, *(u for us in state.property_dependencies.values() for u in us)}
    urns.add(split_reference(state.provider)[0])
    if parent:
        urns.add(state.parent)
    return urns - {""}


class Targets:
    """URNs as ``--target`` takes them: ``*`` stands for anything but a colon, ``**`` for anything."""

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = list(patterns)
        self.literals = {p for p in patterns if "*" not in p}
        self._globs = [
            re.compile(".*".join("[^:]*".join(map(re.escape, part.split("*"))) for part in p.split("**")))
            for p in patterns
            if "*" in p
        ]

    def __bool__(self) -> bool:
        return bool(self.literals or self._globs)

    def __contains__(self, urn: Urn) -> bool:
        return urn in self.literals or any(g.fullmatch(urn) for g in self._globs)


# --- property paths -----------------------------------------------------------------------------------------------

PropertyPath = tuple[str | int, ...]
_STEP = re.compile(r"""\.?(?:\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|\[(\*)\]|([^.\[\]]+))""")


def parse_path(text: str) -> PropertyPath:
    """``a.b[0]["c.d"].*`` as its steps. Raises ValueError if it is none."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        m = _STEP.match(text, at)
        if not m:
            raise ValueError(f"not a property path: {text!r}")
        quoted, index, star, name = m.groups()
        steps.append(int(index) if index is not None else star or name or quoted.replace('\\"', '"'))
        at = m.end()
    return tuple(steps)


def covers(pattern: PropertyPath, path: PropertyPath) -> bool:
    """Whether ``path`` is ``pattern`` or lies below it; ``*`` in the pattern stands for any one step."""
    return len(pattern) <= len(path) and all(p in ("*", s) for p, s in zip(pattern, path, strict=False))
