"""Which rows an index refuses that the table took without it."""

from __future__ import annotations

import re
from collections.abc import Collection

from migrator.compatibility import meaning
from migrator.compatibility.questions import column_types, domains_of, key_columns, old_columns
from migrator.compatibility.rule import Case
from migrator.fingerprint import Snapshot

# A third of a page, which is the longest row of a B-tree ("index row size exceeds btree version 4 maximum 2704").
_INDEX_ROW = 2704
_LONG = ("text", "character varying", "bytea", "jsonb", "bit varying", "tsvector", "xml", "json")
# Functions that fail for no value, and of those the ones whose value is always short.
_SHORT = {
    "length",
    "char_length",
    "octet_length",
    "md5",
    "sha256",
    "date_trunc",
    "date_part",
    "abs",
    "sign",
    "hashtext",
}
_TOTAL = {"lower", "upper", "btrim", "ltrim", "rtrim", "COALESCE", "NULLIF", "GREATEST", "LEAST", "reverse", *_SHORT}


def index_refuses(case: Case) -> bool:
    """Whether an index that is added may refuse a row: for its length (54000), or as an expression of it fails."""
    assert case.new is not None, "asked about one that is there now"
    definition = str(case.given("definition"))
    if case.object == "constraint":
        return bool(_long(case, key_columns(case.new)))
    match = re.search(r" USING (\w+) (\(.*)", definition, re.DOTALL)
    types = column_types(case.after, case.parent)
    if match is None:
        return True
    given = meaning.parts(match[2], types)
    if meaning.calls(given) - _TOTAL or meaning.casts(given) or re.search(r"[/%*+]| - ", match[2]):
        return bool(old_columns(case) & meaning.words(definition))
    if match[1] not in ("btree", "brin"):
        return False
    names = (
        {word for word in meaning.words(definition) if word in types} if _is_expression(case) else key_columns(case.new)
    )
    included = re.search(r" INCLUDE \(([^()]*)\)", definition)
    more = included[1].split(", ") if included else []
    return not meaning.calls(given) & _SHORT and bool(_long(case, {*names, *more}))


def _is_expression(case: Case) -> bool:
    return "(expression)" in key_columns(case.new)


def _long(case: Case, names: Collection[str]) -> set[str]:
    """Columns whose values may be too long for an index, and that no index has held to its limit before."""
    types = {each: kind for each, kind in column_types(case.before, case.parent).items() if each in names}
    sizes = {name: _longest(case.before, kind) for name, kind in types.items()}
    long = {name for name, size in sizes.items() if size}
    if sum(sizes.values()) <= _INDEX_ROW:
        return set()
    held = [
        key_columns(each)
        for each in case.before.of(case.parent, "index")
        if " USING btree " in str(each.attributes["definition"])
        and each.attributes["valid"]
        and "partial" not in each.attributes
    ]
    return set() if any(long <= each for each in held) else long


def _longest(schema: Snapshot, kind: str) -> int:
    """The bytes that a value may need, if it may need many; characters of UTF-8 have four."""
    domains = list(domains_of(schema, kind))
    base = str(domains[-1].attributes["type"]) if domains else kind
    limited = re.fullmatch(r"(?:character varying|character|bit varying|bit)\((\d+)\)", base)
    if limited:
        return int(limited[1]) * 4
    return 2 * _INDEX_ROW if base in _LONG or base == "citext" or base.endswith(("[]", ".citext")) else 0
