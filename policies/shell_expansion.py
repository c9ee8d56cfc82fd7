"""What the words of a shell's script stand for, as far as that is known: variables, arguments, arrays and what takes the place of unset ones.

https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_06 . What is not known stays as it is written, with its
dollar, so that a text in which there is one is not known to the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .shell_syntax import Part, Unreadable, Word, word_of

Value = str | tuple[str, ...]  # of an array
Lookup = Callable[[str], Value | None]

FAILED = "$(failed)"  # a status other than 0
_LONGEST = 4_096  # a longer text is not kept: a loop may add to it without end
_BRACES = re.compile(r"\$\{(\w+|[?!#@*$-])(?:\[([^\[\]]*)\])?(?:(:?[-+=?])(.*))?\}", re.DOTALL)
_COUNTED = re.compile(r"\$\(\(\s*\$?\w+\s*\+\s*1\s*\)\)")
# What a text is split into; one that is not known may have blanks in it.
_FIELD = re.compile(r"(?:\$\([^()]*\)|\$\{[^{}]*\}|`[^`]*`|\S)+")


def is_known(text: str) -> bool:
    return "$" not in text and "`" not in text


def fields(word: Word, known: Lookup) -> list[str]:
    """The words that a word becomes: an unquoted variable may be several, or none."""
    found: list[str] = []
    several = any(_several(part) for part in word.parts)
    begun = word.quoted and not several
    text = ""
    for part in word.parts:
        value = _value_of(part, known) if part.expands else part.text
        if isinstance(value, tuple):
            pieces = list(value) if part.quoted else [piece for one in value for piece in _FIELD.findall(one)]
        elif not part.expands or part.quoted or value is None:
            text += part.text if value is None else value
            begun |= bool(text) or (part.quoted and not several)
            continue
        else:
            pieces = _FIELD.findall(value)
            if value[:1].isspace() and begun:
                found.append(text)
                text, begun = "", False
        for n, piece in enumerate(pieces):
            if n:
                found.append(text)
                text = ""
            text, begun = text + piece, True
        if isinstance(value, str) and value[-1:].isspace() and begun:
            found.append(text)
            text, begun = "", False
    return [*found, text] if begun else found


def text_of(word: Word, known: Lookup) -> str:
    """The text that a word is where it is not split, as in an assignment."""
    found = ""
    for part in word.parts:
        value = _value_of(part, known) if part.expands else part.text
        found += part.text if value is None else " ".join(value) if isinstance(value, tuple) else value
    return found


def value_of(word: Word, known: Lookup) -> Value | None:
    """What a variable has to which a word is assigned, None where it is too long to be kept."""
    value: Value
    if word.array is not None:
        value = tuple(text for one in word.array for text in fields(one, known))
    else:
        value = text_of(word, known)
    return value if sum(map(len, value)) <= _LONGEST else None


def _several(part: Part) -> bool:
    return part.expands and (part.text in ("$@", "${@}") or part.text.endswith("[@]}"))


def _value_of(part: Part, known: Lookup) -> Value | None:
    text = part.text
    if not text.startswith("${"):
        if _COUNTED.fullmatch(text):
            return FAILED  # a number other than 0
        if text.startswith("`"):
            text = f"$({text[1:-1]})"
        value = known(text[1:]) if text.startswith("$(") or re.fullmatch(r"\$(?:\w+|[?!#@*$-])", text) else None
        return _joined(value, text == "$*", part.quoted)
    found = _BRACES.fullmatch(text)
    if not found:
        return None
    name, index, operator, instead = found.groups()
    value = known(f"{name}[{index}]") if index not in (None, "@", "*") else known(name)
    if index is not None and value is None:
        held = known(name)
        if isinstance(held, tuple) and index.isdigit():
            value = held[int(index)] if int(index) < len(held) else ""
    if index is None and isinstance(value, tuple) and name not in ("@", "*"):
        value = value[0] if value else ""
    if operator and value is not None:
        empty = not value
        if operator[-1] in "-=" and empty:
            return _instead(instead, known)
        if operator[-1] == "+":
            return "" if empty else _instead(instead, known)
    return _joined(value, "*" in (name, index), part.quoted)


def _instead(text: str, known: Lookup) -> str | None:
    try:
        return text_of(word_of(text), known)
    except Unreadable:
        return None


def _joined(value: Value | None, joined: bool, quoted: bool) -> Value | None:
    return " ".join(value) if isinstance(value, tuple) and joined and quoted else value
