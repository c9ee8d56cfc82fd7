"""The operator's Settings objects, found as it finds them (internal/resources/settings/helpers.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from .objects import Fields, Object
from .values import Entry, entries, plain, told

T = TypeVar("T")


def split(key: str) -> tuple[str, ...]:
    """A key's parts: at its dots, but not inside quotes. A space divides too, as the operator joins the parts with one."""
    found, quoted = "", False
    for character in key:
        if character == '"':
            quoted = not quoted
        else:
            found += " " if character == "." and not quoted else character
    return tuple(found.split(" "))


@dataclass(eq=False)
class Setting:
    """One Settings object.

    Args:
        name: of the object.
        key: as written.
        value: text.
        stacks: it is for.
        applied: whether it decided something.
        after: the one that came before it wherever it could have.
    """

    name: str
    key: str
    value: str
    stacks: tuple[str, ...]
    applied: bool = False
    after: Setting | None = None
    parts: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.parts = split(self.key)

    def __str__(self) -> str:
        return f"Settings/{plain(self.name)}: {plain(self.key)}"

    @property
    def is_wildcard(self) -> bool:
        """Whether it is for all stacks: a list of two names some, even if one of them is ``*`` (settings_types.go)."""
        return self.stacks == ("*",)

    def matches(self, parts: tuple[str, ...]) -> bool:
        return len(self.parts) == len(parts) and all(o in ("*", p) for o, p in zip(self.parts, parts, strict=True))

    @property
    def rank(self) -> tuple[bool, list[bool], str]:
        """The least comes first: one for named stacks; then whose leftmost part that differs is no wildcard."""
        return self.is_wildcard, [part == "*" for part in self.parts], self.name


def find(settings: Iterable[Setting], parts: tuple[str, ...]) -> list[Setting]:
    """The settings for a key, the one that counts first."""
    return sorted((s for s in settings if s.matches(parts)), key=lambda s: s.rank)


class Lookup:
    """The Settings of one stack, which remembers what was asked for, and reports what cannot be read.

    Args:
        objects: Settings objects.
        stack: whose settings count.
        problems: where a value of the wrong form is reported.
        notes: where a key that two settings give different values is.
    """

    def __init__(self, objects: Iterable[Object], stack: str, problems: list[str], notes: list[str]) -> None:
        self._problems, self._notes = problems, notes
        self._told: set[tuple[str, str]] = set()
        self.of_others: list[Setting] = []
        self.unread: list[str] = []
        self._settings: list[Setting] = []
        for each in objects:
            spec = Fields(each, each.spec, problems)
            if spec.has("valueFrom") and not spec.has("value"):
                problems.append(
                    f"{each}: spec.valueFrom: the value is in another object; allowed is spec.value: write it there to import"
                )
            setting = Setting(each.name, spec.text("key"), spec.text("value"), tuple(spec.texts("stacks")))
            self.unread += [f"{each}: {path}" for path in spec.unread()]
            mine = {"*", stack} & set(setting.stacks)
            (self._settings if mine else self.of_others).append(setting)

    def find(self, *parts: str) -> Setting | None:
        """The setting that counts for a key, None if there is none."""
        found = find(self._settings, parts)
        if not found:
            return None
        first, *others = found
        first.applied = True
        for other in others:
            other.after = other.after or first
            if other.rank[:2] == first.rank[:2] and other.value != first.value:
                self._note(first, other)
        return first

    def _note(self, first: Setting, other: Setting) -> None:
        if (first.name, other.name) not in self._told:
            self._told.add((first.name, other.name))
            self._notes.append(
                f"{first} and Settings/{plain(other.name)} say different things of one key, and the operator takes either: "
                f"that of Settings/{plain(first.name)} was written; remove the other or correct it"
            )

    def read(self, form: Callable[[str], T], *parts: str) -> tuple[T, Setting] | None:
        """The value that counts for a key, None if there is none or it cannot be read."""
        setting = self.find(*parts)
        if setting is None:
            return None
        try:
            return form(setting.value), setting
        except ValueError as error:
            self.refuse(setting, f"{told(parts[-1], setting.value)} {error}")
            return None

    def text(self, *parts: str) -> str:
        setting = self.find(*parts)
        return setting.value if setting else ""

    def map(self, *parts: str) -> dict[str, Entry]:
        found = self.read(entries, *parts)
        return found[0] if found else {}

    def refuse(self, setting: Setting | None, why: str) -> None:
        """Reports a value that cannot be used, once."""
        line = f"{setting}: {why}"
        if line not in self._problems:
            self._problems.append(line)

    def names(self, first: str, position: int) -> Iterator[str]:
        """What settings that begin with a part name at a position, wildcards left out."""
        found = {s.parts[position] for s in self._settings if s.parts[0] == first and len(s.parts) > position}
        yield from sorted(found - {"*"})

    @property
    def all(self) -> list[Setting]:
        """The settings for the stack."""
        return self._settings
