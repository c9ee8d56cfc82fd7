"""What a version that leaves columns out writes there, new ones or ones with a new default, and what constraints say of it."""

from __future__ import annotations

import re

from migrator.compatibility import meaning
from migrator.compatibility.questions import column_types, default_of, key_columns, not_null, old_columns
from migrator.compatibility.rule import Case

# Functions that give each row a value of its own.
DISTINCT = re.compile(
    r"\b(?:nextval|gen_random_uuid|uuidv4|uuidv7|uuid_generate_v1|uuid_generate_v1mc|uuid_generate_v4)\("
)


def new_values(case: Case) -> dict[str, str | None]:
    """What the previous version's rows hold in the table's new columns: a literal, None for NULL; others are left out."""
    found: dict[str, str | None] = {}
    for each in case.after.of(case.parent, "column"):
        if each.short in old_columns(case) or each.attributes.get("generated") or each.attributes.get("identity"):
            continue
        default = default_of(case, each.attributes)
        if default is None:
            found[each.short] = None
        elif (value := meaning.literal(str(default))) is not None:
            found[each.short] = value
    return found


def _own_values(case: Case) -> set[str]:
    """The new columns in which each of the previous version's rows gets a value that no other has."""
    return {
        each.short
        for each in case.after.of(case.parent, "column")
        if each.short not in old_columns(case)
        and (each.attributes.get("identity") or DISTINCT.search(str(default_of(case, each.attributes) or "")))
    }


def never_collides(case: Case) -> bool:
    """Whether rows that do not know the table's new columns cannot collide by a new key or an exclusion."""
    assert case.new is not None, "asked about one that is there now"
    if case.relation(after=False) is None:
        return False
    definition, columns = str(case.given("definition")), key_columns(case.new)
    nulls = {name for name, value in new_values(case).items() if value is None}
    if case.given("type") == "primary key":
        return bool(columns & _own_values(case)) and columns <= _own_values(case) | _knownnot_null(case)
    if "NULLS NOT DISTINCT" in definition:
        nulls = set()
    return bool(columns & (nulls | _own_values(case)))


def _knownnot_null(case: Case) -> frozenset[str]:
    return frozenset(each for each in old_columns(case) if not_null(case, frozenset((each,))))


def condition_of_new_rows(case: Case) -> meaning.Truth:
    """What a new CHECK is for rows that do not know the table's new columns."""
    if case.relation(after=False) is None or not new_columns(case):
        return "unknown"
    parts = meaning.demands(str(case.given("definition")), column_types(case.after, case.parent))
    found = {meaning.truth(each, new_values(case)) for each in parts or ((),)}
    return next((each for each in ("false", "unknown", "null") if each in found), "true")


def new_columns(case: Case) -> frozenset[str]:
    """Gives the columns of a constraint or an index that the table did not have before."""
    return key_columns(case.new) - old_columns(case)


def default_is_held(case: Case) -> bool:
    """Whether a constraint may refuse what a column's new default puts into rows of the previous version."""
    assert case.new is not None, "asked about a column that is still there"
    value = str(case.now or "")
    if DISTINCT.search(value):
        return False
    column = case.new.short
    keys = [*case.before.of(case.parent, "constraint"), *case.before.of(case.parent, "index")]
    held = [
        each
        for each in keys
        if column in key_columns(each) and (each.kind == "constraint" or each.attributes.get("unique") is True)
    ]
    literal = meaning.literal(value)
    types = column_types(case.before, case.parent)
    return any(
        each.attributes.get("type") != "check"
        or literal is None
        or any(
            meaning.truth(part, {column: literal}) != "true"
            for part in meaning.demands(str(each.attributes["definition"]), types) or ((),)
            if column in meaning.words(str(each.attributes["definition"]))
        )
        for each in held
    )
