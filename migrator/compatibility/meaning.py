"""What constraints demand, as far as it can be shown from how the server prints them.

Two printed forms may demand the same: a column that becomes text from varchar loses the cast in `(state)::text = ...`, and
the constraint may have another name. And one may demand no more than another: a longer list, a lower bound, a part of it.
Nothing is guessed: what is not recognised is taken for something else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Literal

from migrator.compatibility.types import compare
from migrator.printed import canonical

# A word, an operator or a literal is a string; a cast is ("::", type); what is in brackets ("(" or "[", parts).
Part = str | tuple[str, "str | tuple[Part, ...]"]
Parts = tuple[Part, ...]
Truth = Literal["true", "false", "null", "unknown"]

_TYPE = (
    r'(?:[\w$.]|"(?:[^"]|"")*"|[ ](?=(?:varying|precision|with|without|time|zone|to|year|month|day|hour|minute|second)\b)'
    r"|\(\d+(?:,-?\d+)?\))+(?:\[\])*"
)
_TOKEN = re.compile(
    rf"""\s*(?:(?P<cast>::{_TYPE})|(?P<literal>E?'(?:[^']|'')*')|(?P<word>(?:"(?:[^"]|"")*"|[\w$.])+)
    |(?P<bracket>[()\[\],])|(?P<operator>[^\w\s'"()\[\],:]+|:))""",
    re.VERBOSE,
)
_TEXTS = ("text", "character varying")
_WHOLE = ("smallint", "integer", "bigint")
_NUMBERS = (*_WHOLE, "numeric", "double precision", "real")
# Words that take no arguments in parentheses.
_KEYWORDS = {
    "AND",
    "OR",
    "NOT",
    "ANY",
    "ALL",
    "CHECK",
    "WHERE",
    "IN",
    "WHEN",
    "THEN",
    "ELSE",
    "CASE",
    "IS",
    "USING",
    "WITH",
}
_SIDES = {">": (1, True), ">=": (1, False), "<": (-1, True), "<=": (-1, False)}
# Functions of the server's own whose value is null where an argument is.
_STRICT = {
    "abs", "array_length", "btrim", "cardinality", "ceil", "char_length", "character_length", "date_part", "date_trunc",
    "floor", "isfinite", "jsonb_array_length", "jsonb_typeof", "length", "lower", "lower_inc", "ltrim", "mod",
    "octet_length", "position", "replace", "round", "rtrim", "sign", "split_part", "starts_with", "strpos", "substring",
    "trim_scale", "trunc", "upper", "isempty",
}  # fmt: skip
_PLAIN_WORDS = {"ANY", "ALL", "ARRAY", "NULL"}


def parts(text: str, types: Mapping[str, str]) -> Parts:
    """Gives what is printed without the casts and parentheses that change no value.

    Args:
        text: a definition or an expression, as the server prints it.
        types: of the table's columns.
    """
    return _simple(_read(canonical(text))[0], types)


def _read(text: str, position: int = 0, closing: str = "") -> tuple[Parts, int]:
    found: list[Part] = []
    while match := _TOKEN.match(text, position):
        position = match.end()
        token = match.group().strip()
        if match["cast"]:
            found.append(("::", token[2:]))
        elif token in ("(", "["):
            inner, position = _read(text, position, ")" if token == "(" else "]")
            found.append((token, inner))
        elif token == closing:
            break
        else:
            found.append(token)
    return tuple(found), position


def _simple(given: Parts, types: Mapping[str, str]) -> Parts:
    found: list[Part] = []
    for each in given:
        if isinstance(each, str):
            found.append(each)
        elif each[0] == "::":
            if not found or (less := _without(found[-1], str(each[1]), types)) is None:
                found.append(each)
            else:
                found[-1] = less
        else:
            inner = _simple(_inside(each), types)
            before = found[-1] if found else ""
            called = isinstance(before, str) and re.fullmatch(r'[\w$."]+', before) and before not in _KEYWORDS
            found.append(inner[0] if each[0] == "(" and len(inner) == 1 and not called else (each[0], inner))
    return tuple(found)


def _without(value: Part, kind: str, types: Mapping[str, str]) -> Part | None:
    """A value without a cast that leaves it as it is; None if that cannot be shown."""
    if not isinstance(value, str):
        if value[0] != "[" or not kind.endswith("[]"):
            return None
        inner = [_without(each, kind[:-2], types) if each != "," else each for each in _inside(value)]
        return None if None in inner else ("[", tuple(each for each in inner if each is not None))
    if value.startswith("'"):
        number = value[1:-1]
        if kind in _NUMBERS and _decimal(number) is not None:
            return number
        return value if kind in _TEXTS else None
    if (known := _decimal(value)) is not None:
        fits = _NUMBERS if known == known.to_integral_value() else ("numeric", "double precision")
        return value if kind in fits else None
    own = types.get(value, "")
    if own.partition("(")[0] in _TEXTS and kind in _TEXTS:
        return value
    return value if own and compare(own, kind) in ("widened", "enlarged") else None


def same(old: str, new: str, old_types: Mapping[str, str], new_types: Mapping[str, str]) -> bool:
    """Whether two printed forms say the same of the same values.

    Args:
        old: as it was printed.
        new: as it is.
        old_types: of the table's columns then.
        new_types: of them now.
    """
    if old_types != new_types and any(set(each) & {"/", "%"} for each in (words(old), words(new))):
        return old == new  # 3 / 2 is 1 as long as both are integers
    return parts(old, old_types) == parts(new, new_types)


def demands(check: str, types: Mapping[str, str]) -> list[Parts] | None:
    """What a CHECK demands, part by part; None if it is printed in another way than known."""
    match = re.fullmatch(r"CHECK (\(.*\))( NO INHERIT)?", check, re.DOTALL)
    return [_whole(each, types) for each in _all_of(parts(match[1], types))] if match else None


def _whole(given: Parts, types: Mapping[str, str]) -> Parts:
    """`x > 0` as `x >= 1` where x is a whole number."""
    bound = _bound(given)
    if bound is None or len(bound[0]) != 1 or types.get(str(bound[0][0])) not in _WHOLE:
        return given
    way, number = bound[1][0], bound[2]
    if not bound[1][1] or number != number.to_integral_value():
        return given
    return (bound[0][0], ">=" if way == 1 else "<=", str(int(number) + way))


def _all_of(given: Parts) -> list[Parts]:
    given = _bare(given)
    pieces = _split(given, "AND")
    return [given] if len(pieces) == 1 else [one for piece in pieces for one in _all_of(piece)]


def follows(wanted: Parts, known: Collection[Parts], not_null: Collection[str] = ()) -> bool:
    """Whether a demand is met by every row that meets the known ones.

    Args:
        wanted: one part of a CHECK.
        known: parts of others.
        not_null: columns that are NOT NULL.
    """
    wanted = _bare(wanted)
    if wanted in known:
        return True
    if len(wanted) == 4 and wanted[1:] == ("IS", "NOT", "NULL") and wanted[0] in not_null:
        return True
    alternatives = _split(wanted, "OR")
    if len(alternatives) > 1:
        return any(follows(each, known, not_null) for each in alternatives)
    return any(_narrower(each, wanted) for each in known)


def _narrower(known: Parts, wanted: Parts) -> bool:
    one, other = _listed(known), _listed(wanted)
    if one and other and one[0] == other[0]:
        return one[1] <= other[1]
    if one and len(one[0]) == 1 and isinstance(one[0][0], str):
        values = [each for each in one[1] if isinstance(each, str)]
        # NULL satisfies a list as well: a CHECK refuses only what is false.
        return truth(wanted, {one[0][0]: None}) in ("true", "null") and all(
            truth(wanted, {one[0][0]: each}) == "true" for each in values
        )
    bound, loose = _bound(known), _bound(wanted)
    if bound is None or loose is None or bound[0] != loose[0] or bound[1][0] != loose[1][0]:
        return False
    way, number, limit = bound[1][0], bound[2] * bound[1][0], loose[2] * loose[1][0]
    assert way in (1, -1)
    return number > limit or (number == limit and (bound[1][1] or not loose[1][1]))


def _listed(given: Parts) -> tuple[Parts, frozenset[Part]] | None:
    """`x = ANY (ARRAY[...])` or `x = 'a'`: what is compared, and with which literals."""
    if "=" not in given:
        return None
    at = given.index("=")
    left, right = given[:at], given[at + 1 :]
    if right[:2] == ("ANY", "ARRAY") and len(right) == 3:
        right = _inside(right[2])
    elif len(right) == 2 and right[0] == "ANY" and _inside(right[1])[:1] == ("ARRAY",):
        right = _inside(_inside(right[1])[1])
    elif len(right) != 1:
        return None
    values = [each for each in right if each != ","]
    literal = all(isinstance(each, str) and (each.startswith("'") or _decimal(each) is not None) for each in values)
    return (left, frozenset(values)) if literal else None


def _bound(given: Parts) -> tuple[Parts, tuple[int, bool], Decimal] | None:
    """`x > 5`: what is bounded, on which side and whether strictly, and by what."""
    if len(given) < 3 or not isinstance(given[-2], str) or given[-2] not in _SIDES or not isinstance(given[-1], str):
        return None
    number = _decimal(given[-1])
    return None if number is None else (given[:-2], _SIDES[given[-2]], number)


def truth(given: Parts, values: Mapping[str, str | None]) -> Truth:
    """What a condition is where some columns have known values.

    Args:
        given: the condition.
        values: a literal by the column's name, None for NULL; columns that are not in it may hold anything.
    """
    given = _bare(given)
    for word, ends, goes_on in (("OR", "true", "false"), ("AND", "false", "true")):
        pieces = _split(given, word)
        if len(pieces) > 1:
            found = {truth(each, values) for each in pieces}
            if ends in found:
                return "true" if ends == "true" else "false"
            for undecided in ("unknown", "null"):
                if undecided in found:
                    return "unknown" if undecided == "unknown" else "null"
            return "true" if goes_on == "true" else "false"
    if given[:1] == ("NOT",):
        turned: dict[Truth, Truth] = {"true": "false", "false": "true", "null": "null", "unknown": "unknown"}
        return turned[truth(given[1:], values)]
    if given[1:] in (("IS", "NULL"), ("IS", "NOT", "NULL")) and given[0] in values:
        is_null = values[str(given[0])] is None
        return "true" if is_null == (len(given) == 3) else "false"
    return _compared(given, values)


def _compared(given: Parts, values: Mapping[str, str | None]) -> Truth:
    nulls = {name for name, value in values.items() if value is None}
    if nulls & set(_words(given)) and _is_strict(given, nulls):
        return "null"
    subject = values.get(given[0]) if given and isinstance(given[0], str) else None
    if subject is None:
        return "unknown"
    listed, bound = _listed(given), _bound(given)
    if listed and len(listed[0]) == 1:
        known = {_decimal(str(each)) if _decimal(subject) is not None else each for each in listed[1]}
        return "true" if (_decimal(subject) if _decimal(subject) is not None else subject) in known else "false"
    number = _decimal(subject)
    if bound and len(bound[0]) == 1 and number is not None:
        way, strictly = bound[1]
        return "true" if number * way > bound[2] * way or (number == bound[2] and not strictly) else "false"
    return "unknown"


def _is_strict(given: Parts, nulls: Collection[str]) -> bool:
    """Whether a condition without AND, OR and NOT is null for sure where one of these columns is."""
    for number, each in enumerate(given):
        before = given[number - 1] if number else ""
        if isinstance(each, str):
            called = number + 1 < len(given) and isinstance(given[number + 1], tuple) and given[number + 1][0] == "("
            word = re.fullmatch(r"[A-Za-z_][\w$.]*", each)
            if word and each.isupper() and each not in _PLAIN_WORDS:
                return False  # IS, CASE, COALESCE, DISTINCT, AND
            if word and called and each not in _PLAIN_WORDS and each.removeprefix("pg_catalog.") not in _STRICT:
                return False
        elif each[0] == "[" or before == "ANY":
            if set(nulls) & set(_words(_inside(each))):
                return False
        elif each[0] == "(" and not _is_strict(_inside(each), nulls):
            return False
    return True


def literal(default: str) -> str | None:
    """Gives the literal that a default is; None for anything else."""
    found = parts(default, {})
    one = found[0] if found else ""
    if not isinstance(one, str) or (len(found) > 1 and not (len(found) == 2 and isinstance(found[1], tuple))):
        return None
    return one if one.startswith("'") or one in ("true", "false") or _decimal(one) is not None else None


def words(text: str) -> set[str]:
    """Gives the words of what is printed, names among them, not those in literals."""
    return set(_words(_read(text)[0]))


def _words(given: Sequence[Part]) -> list[str]:
    found: list[str] = []
    for each in given:
        if isinstance(each, str):
            found.append(each)
        elif each[0] != "::":
            found += _words(_inside(each))
    return found


def calls(given: Sequence[Part]) -> set[str]:
    """Gives the names of the functions that are called."""
    found: set[str] = set()
    for number, each in enumerate(given):
        if not isinstance(each, str) and each[0] != "::":
            before = given[number - 1] if number else ""
            if (
                isinstance(before, str)
                and re.fullmatch(r'[\w$."]+', before)
                and before not in _KEYWORDS
                and each[0] == "("
            ):
                found.add(before)
            found |= calls(_inside(each))
    return found


def casts(given: Sequence[Part]) -> set[str]:
    """Gives the types that a value is cast to that may not fit: not a literal, which was read when that was made, nor to text."""
    found: set[str] = set()
    for number, each in enumerate(given):
        if isinstance(each, str):
            continue
        before = given[number - 1] if number else ""
        if each[0] != "::":
            found |= casts(_inside(each))
        elif not (isinstance(before, str) and before.startswith("'")) and each[1] not in _TEXTS:
            found.add(str(each[1]))
    return found


def _inside(part: Part) -> Parts:
    return part[1] if isinstance(part, tuple) and isinstance(part[1], tuple) else ()


def _bare(given: Parts) -> Parts:
    while len(given) == 1 and isinstance(given[0], tuple) and given[0][0] == "(":
        given = _inside(given[0])
    return given


def _split(given: Parts, word: str) -> list[Parts]:
    pieces: list[list[Part]] = [[]]
    for each in given:
        if each == word:
            pieces.append([])
        else:
            pieces[-1].append(each)
    return [tuple(each) for each in pieces]


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text) if re.fullmatch(r"-?[\d.]+", text) else None
    except InvalidOperation:
        return None
