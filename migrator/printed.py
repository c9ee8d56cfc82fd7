"""One form for what PostgreSQL prints in two: an array that is cast, and the array of its cast elements.

CHECK (status IN ('open', 'closed')) on a varchar is printed as

    ((status)::text = ANY ((ARRAY['open'::character varying, 'closed'::character varying])::text[]))

and the same text, read by a server again as a restored dump is, is printed as

    ((status)::text = ANY (ARRAY[('open'::character varying)::text, ('closed'::character varying)::text]))

since `ARRAY[...]::type[]` "has the same effect as casting each expression to the array element type individually"
(PostgreSQL manual, 4.2.12 Array Constructors). Nothing else is taken for the same: an element whose own type is not printed
beside it may be an array, which would be cast as one, so arrays with such elements stay as they are printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ARRAY = "ARRAY["
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
# As format_type prints it: `character varying(3)`, `timestamp(0) with time zone`, `public."Odd type"`.
_WORDS = r' (?=(?:varying|precision|with|without|time|zone|to|year|month|day|hour|minute|second)\b)|\(\d+(?:,-?\d+)?\)|"(?:[^"]|"")*"'
_CAST = re.compile(rf"\)::(?P<type>(?:[\w$.]|{_WORDS})+)\[\]")
# A type of the server's own, which is printed without its schema: another one may be a domain over an array.
_LABEL = re.compile(rf"::(?:[\w$]|{_WORDS})+")
_LITERAL = re.compile(r"E?'(?:[^']|'')*'|NULL")


def canonical(text: str) -> str:
    """Gives a definition or an expression with the casts of its literal arrays at their elements."""
    begin = f"({_ARRAY}"
    if begin not in text:
        return text
    parts, position = [], 0
    for start, part in _parts(text):
        if start < position or part != "(" or not text.startswith(begin, start):
            continue
        if start and re.match(r'[\w$"]', text[start - 1]):  # a function's only argument
            continue
        end = _closing(text, start + len(_ARRAY))
        cast = _CAST.match(text, end + 1)
        elements = [canonical(each) for each in _split(text[start + len(begin) : end])]
        if cast and all(map(_known, elements)):
            parts += [text[position:start], _array(elements, cast["type"])]
            position = cast.end()
    return "".join([*parts, text[position:]])


def _array(elements: list[str], kind: str) -> str:
    cast = (
        _array(list(_split(each[len(_ARRAY) : -1])), kind) if _is_array(each) else f"({each})::{kind}"
        for each in elements
    )
    return f"{_ARRAY}{', '.join(cast)}]"


def _is_array(element: str) -> bool:
    return element.startswith(_ARRAY) and _closing(element, len(_ARRAY) - 1) == len(element) - 1


def _known(element: str) -> bool:
    """Whether what is printed tells how a cast reaches it: a literal array's elements, or a value labelled with its type."""
    if _is_array(element):
        return all(map(_known, _split(element[len(_ARRAY) : -1])))
    literal = _LITERAL.match(element)
    end = literal.end() if literal else _closing(element, 0) + 1 if element.startswith("(") else len(element)
    return _LABEL.fullmatch(element, end) is not None


def _split(elements: str) -> Iterator[str]:
    depth, begin = 0, 0
    for position, part in _parts(elements):
        depth += (part in "([") - (part in ")]")
        if part == "," and depth == 0:
            yield elements[begin:position].removeprefix(" ")
            begin = position + 1
    yield elements[begin:].removeprefix(" ")


def _closing(text: str, opening: int) -> int:
    """Where the bracket closes that opens there; the text's end if it does not."""
    depth = 0
    for position, part in _parts(text, opening):
        depth += (part in "([") - (part in ")]")
        if depth == 0:
            return position
    return len(text)


def _parts(text: str, position: int = 0) -> Iterator[tuple[int, str]]:
    """Characters, and what is quoted in one piece. The server doubles quotes in literals, E'...' among them, and in names."""
    while position < len(text):
        quoted = _QUOTED.match(text, position)
        part = quoted.group() if quoted else text[position]
        yield position, part
        position += len(part)
