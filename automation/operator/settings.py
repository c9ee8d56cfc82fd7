"""The operator's Settings objects: keys with wildcards, of which the most specific one counts.

https://docs.formance.com/deployment/operator: a key is split at its dots (a part in quotes may hold some), ``*`` stands for
one part, and the value is always text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_PART = re.compile(r'"([^"]*)"|([^.]+)')
_PAIR = re.compile(r'\s*([^=,\s]+)\s*=\s*("([^"]*)"|[^,]*)\s*(?:,|$)')


@dataclass
class Setting:
    """One of the operator's Settings.

    Args:
        key: as written.
        value: text.
        stacks: it is for; ``*`` is any.
    """

    key: str
    value: str
    stacks: tuple[str, ...]
    used: bool = field(default=False, compare=False)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(quoted or plain for quoted, plain in _PART.findall(self.key))

    def matches(self, parts: tuple[str, ...]) -> bool:
        own = self.parts
        return len(own) == len(parts) and all(o in ("*", p) for o, p in zip(own, parts, strict=True))


class Lookup:
    """The Settings of one stack, which remembers what was asked for.

    Args:
        documents: Settings objects.
        stack: whose settings count.
    """

    def __init__(self, documents: Iterable[Mapping[str, Any]], stack: str) -> None:
        self._stack = stack
        self._settings = [
            Setting(str(spec["key"]), str(spec.get("value", "")), tuple(spec.get("stacks") or ()))
            for spec in (d.get("spec") or {} for d in documents)
            if spec.get("key") and ({"*", stack} & set(spec.get("stacks") or ()))
        ]

    def text(self, *parts: str) -> str | None:
        """The value that counts for a key, None if there is none.

        A setting for the stack by name beats one for all; then the leftmost part that is not a wildcard decides.
        """
        found = [s for s in self._settings if s.matches(parts)]
        for each in found:
            each.used = True
        if not found:
            return None
        return min(found, key=lambda s: (self._stack not in s.stacks, [p == "*" for p in s.parts])).value

    def flag(self, *parts: str) -> bool:
        return self.text(*parts) == "true"

    def map(self, *parts: str) -> dict[str, str]:
        """``a=1,b="x,y"`` as a map, empty if there is none."""
        text = self.text(*parts) or ""
        return {
            key: inner or ("" if value.startswith('"') else value.strip()) for key, value, inner in _PAIR.findall(text)
        }

    def words(self, *parts: str) -> list[str]:
        return [w.strip() for w in (self.text(*parts) or "").split(",") if w.strip()]

    def beginning(self, *parts: str) -> Iterator[tuple[str, ...]]:
        """The keys that begin with some parts and have no wildcard, for what the settings themselves name."""
        for setting in self._settings:
            if setting.parts[: len(parts)] == parts and "*" not in setting.parts:
                yield setting.parts

    @property
    def unused(self) -> list[Setting]:
        """What nobody asked for, and so has no equivalent."""
        return [s for s in self._settings if not s.used]
