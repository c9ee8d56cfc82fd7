"""Which changes of a column's type lose nothing."""

from __future__ import annotations

import re
from typing import Literal

_MODIFIED = re.compile(r"(?P<base>[a-z][a-z ]*?) ?\((?P<numbers>[\d,]+)\)(?P<rest>.*)")
# Reads and writes stay what they are, and PostgreSQL rewrites no table: ALTER TABLE skips the rewrite where the old type
# is binary coercible to the new one, and for these length limits (varchar_support and its like in the server). Not so xml to
# text, though no table is rewritten either: xpath(text, text) does not exist.
_COERCIBLE = {
    ("character varying", "text"),
    ("text", "character varying"),
    ("cidr", "inet"),
}
# Every old value fits, but the table is rewritten, and a program may get a value that its variable does not hold.
_LARGER = {
    ("smallint", "integer"),
    ("smallint", "bigint"),
    ("integer", "bigint"),
    ("smallint", "numeric"),
    ("integer", "numeric"),
    ("bigint", "numeric"),
    ("real", "double precision"),
}
_LIMITED = {
    "character varying",
    "bit varying",
    "numeric",
    "timestamp without time zone",
    "timestamp with time zone",
    "time without time zone",
    "time with time zone",
    "interval",
    "character",
    "bit",
}
# Types whose stored values do not change with a larger limit; "character" is padded, "bit" has a fixed length.
_PADDED = {"character", "bit"}


def compare(old: str, new: str) -> Literal["widened", "enlarged", "narrowed", "other"]:
    """Tells what a change of type means for the values.

    Args:
        old: as format_type prints it, such as `character varying(20)`.
        new: the same.

    Returns:
        `widened`: every value stays as it is stored; `enlarged`: every value fits, but is stored anew; `narrowed`:
        values that were allowed no longer are; `other`: another kind of value.
    """
    if old.endswith("[]") and new.endswith("[]"):
        elements = compare(old[:-2], new[:-2])
        return "enlarged" if elements == "widened" else elements  # PostgreSQL stores arrays anew all the same
    old_base, old_limit = _parts(old)
    new_base, new_limit = _parts(new)
    if old_base == new_base and old_base in _LIMITED:
        return _limits(old_base, old_limit, new_limit)
    pair = (old_base, new_base)
    if pair in _COERCIBLE:
        return "widened" if new_limit is None else "narrowed"
    if pair in _LARGER:
        return "enlarged" if new_limit is None else "narrowed"
    if (new_base, old_base) in _LARGER or (new_base, old_base) in _COERCIBLE:
        return "narrowed"
    return "other"


def _limits(
    base: str, old: tuple[int, ...] | None, new: tuple[int, ...] | None
) -> Literal["widened", "enlarged", "narrowed", "other"]:
    if base in _PADDED:
        return "other" if base == "bit" or old is None or new is None or new >= old else "narrowed"
    if new is None:
        return "widened"
    if old is None:
        return "narrowed"
    if base == "numeric":
        (precision, scale), (wider, finer) = (*old, 0)[:2], (*new, 0)[:2]
        if finer < scale or wider - finer < precision - scale:
            return "narrowed"
        return "widened" if finer == scale else "enlarged"
    return "widened" if new >= old else "narrowed"


def _parts(text: str) -> tuple[str, tuple[int, ...] | None]:
    """Splits `character varying(20)[]` into what it is and its limit; `timestamp(3) with time zone` too."""
    match = _MODIFIED.fullmatch(text)
    if match is None:
        return text, None
    base = f"{match.group('base')}{match.group('rest')}"
    return base, tuple(map(int, match.group("numbers").split(",")))
