"""Text that others wrote: pods, registries, databases, engines. The one place that makes it safe to show and reads it as data.

Good is what is known to be good: characters that print, and fields of the type they should have. Everything else is shown as an
escape, or is nothing. All of it takes time in proportion to the text's length.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from textwrap import dedent

# Kubernetes keeps 4 KiB of a termination message; the longest line that is read as data is the list of a thousand backups.
_READ = 1 << 20
_KEPT = 20_000  # characters of which it is known how they are shown
_LARGEST = (1 << 63) - 1
# Colours, which many loggers write wherever they run, say nothing that is lost with them (ECMA-48, SGR).
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# GitHub's runner obeys `##[command]` and Azure's agent `##vso[command]` anywhere in a line (actions/runner, ActionCommand.cs).
_COMMAND = re.compile(r"#(?=#[A-Za-z]*\[)")


class _Shown(dict[int, str]):
    """What stands for each character, by its number."""

    def __missing__(self, number: int) -> str:
        character = chr(number)
        # Spaces other than ASCII's do not count as printable; French messages have them.
        good = character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"
        found = character if good else ascii(character)[1:-1]
        if len(self) < _KEPT:
            self[number] = found
        return found


_shown = _Shown()


def uncoloured(text: str) -> str:
    """The text without colours and with one kind of newline; comes before secrets are looked for, which these may split."""
    return _COLOUR.sub("", text).replace("\r\n", "\n") if "\x1b" in text or "\r" in text else text


def shown(text: str) -> str:
    """The text with every character that does not print as an escape (``\\x1b``, ``\\u202e``); newlines and tabs stay."""
    text = uncoloured(text)
    if not (text.isascii() and text.isprintable()):
        text = text.translate(_shown)
    return _COMMAND.sub(r"\\x23", text) if "##" in text else text


def flat(text: str) -> str:
    """The text as one line in which a newline is seen."""
    return shown(text).replace("\n", "\\n")


def one_line(text: str) -> str:
    """The text as one line, for a sentence."""
    return " ".join(shown(text).split())


def quoted(text: str, indent: str = "  ") -> Iterator[str]:
    """The text's lines, each marked as somebody else's, so that none can pass for ours or for a command of a pipeline."""
    for line in shown(text).strip("\n").split("\n") if text.strip() else ():
        yield f"{indent}| {line}"


def labelled(label: str, text: str, indent: str = "  ") -> Iterator[str]:
    """The text behind a word of ours; where it has more lines, they are marked."""
    first, *others = shown(text).strip().split("\n")
    yield f"{indent}{label}{first}"
    yield from quoted(dedent("\n".join(others)), f"{indent}  ")


def cut(text: str, most: int) -> str:
    """The beginning of a text, and how much more there was."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} more characters)"


class Fields:
    """A JSON object that somebody else wrote. A field is read as what it should be, and is nothing where it is anything else."""

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self._values = values or {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str:
        value = self._values.get(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool | None:
        value = self._values.get(name)
        return value if isinstance(value, bool) else None

    def number(self, name: str) -> float:
        """A finite number, else 0."""
        value = self._values.get(name)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or abs(value) > _LARGEST or math.isnan(value):
            return 0.0
        return float(value)

    def count(self, name: str) -> int:
        """A whole number from 0 on, else 0."""
        value = self._values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST else 0

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(each for each in self._list(name) if isinstance(each, str))

    def nested(self, name: str) -> Fields:
        value = self._values.get(name)
        return Fields(value) if isinstance(value, dict) else Fields()

    def objects(self, name: str) -> tuple[Fields, ...]:
        return tuple(Fields(each) for each in self._list(name) if isinstance(each, dict))

    def __str__(self) -> str:
        """Its texts and numbers in one line."""
        plain = {k: v for k, v in self._values.items() if isinstance(v, (str, int, float)) and v != ""}
        return ", ".join(f"{k} {v}" for k, v in plain.items())

    def _list(self, name: str) -> list[object]:
        value = self._values.get(name)
        return value if isinstance(value, list) else []


def read(text: str) -> Fields:
    """The JSON object that a text is, or that its last line is; without fields where there is none."""
    for candidate in (text, text.rstrip().rpartition("\n")[2]):
        if not candidate.lstrip().startswith("{") or len(candidate) > _READ:
            continue
        try:
            value = json.loads(candidate)
        except (ValueError, RecursionError):  # also of numbers with too many digits, and of nested lists
            continue
        if isinstance(value, dict):
            return Fields(value)
    return Fields()
