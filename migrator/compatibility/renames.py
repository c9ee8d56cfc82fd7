"""Finds out what was renamed: pg_catalog shows only that one object went and another came."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from migrator.fingerprint import RELATIONS, Change, Object, Snapshot, Value

_TYPES = ("enum", "domain", "composite type", "range type")
_ROUTINES = ("function", "procedure", "aggregate")
_WITHOUT_OID = ("constraint", "index", "trigger", "rule", "policy")
_NAMED_IN_DEFINITION = ("index", "trigger", "rule")


@dataclass(frozen=True)
class Rename:
    """An object that went and one that came in its place."""

    old: Object
    new: Object


def find(before: Snapshot, after: Snapshot, changes: Sequence[Change]) -> list[Rename]:
    """Pairs objects that went with objects that came.

    ALTER ... RENAME keeps everything but the name, so a pair must be alike in all that tells them apart: a column has
    its type and its place in the table, a table its columns. Somebody who drops one and adds another that is alike
    in all of this is told of a renaming; the previous version does not see a difference either. Where both snapshots are of
    one database, its OIDs tell the two apart: once it is declared that nobody uses what goes, they are not the same.
    """
    of_one = _database(before) is not None and _database(before) == _database(after)
    went = [before.by_key[change.object, change.name] for change in changes if change.kind == "removed"]
    came = [after.by_key[change.object, change.name] for change in changes if change.kind == "added"]
    found: list[Rename] = []
    for kind, likeness in (
        ("schema", _schema),
        *((kind, _relation) for kind in RELATIONS),
        ("column", _column),
        *((kind, _routine) for kind in _ROUTINES),
        *((kind, _attributes) for kind in _TYPES),
        ("sequence", _attributes),
        *((kind, _part) for kind in ("constraint", "index", "trigger", "rule", "policy")),
    ):
        alike = _oid if of_one and kind not in _WITHOUT_OID else likeness
        found += _pairs(
            [(each, alike(each, before)) for each in went if each.kind == kind],
            [(each, alike(each, after)) for each in came if each.kind == kind],
        )
    return found


def _database(snapshot: Snapshot) -> Value:
    found = snapshot.by_key.get(("database", ""))
    return found.facts.get("database") if found else None


def _oid(each: Object, _snapshot: Snapshot) -> Hashable | None:
    return str(each.facts["oid"])


def same(before: Value, after: Value, renames: Sequence[Rename], parent: str) -> bool:
    """Whether two definitions differ only in what was renamed.

    Args:
        before: an attribute of an object before.
        after: the same attribute afterwards.
        renames: what was renamed.
        parent: the object's parent; its own columns appear in definitions without their table's name.
    """
    if isinstance(before, list) and isinstance(after, list):
        pairs = zip(before, after, strict=False)
        return len(before) == len(after) and all(same(one, other, renames, parent) for one, other in pairs)
    if not isinstance(before, str) or not isinstance(after, str):
        return before == after
    for each in renames:
        before = _word(each.old.name, each.new.name, before)
        if each.old.kind == "column":
            table = each.old.parent.rpartition(".")[2]
            before = _word(f"{table}.{each.old.short}", f"{table}.{each.new.short}", before)
            # A view's own columns keep their names: SELECT t.old becomes SELECT t.new AS old.
            after = after.replace(f"{table}.{each.new.short} AS {each.old.short}", f"{table}.{each.new.short}")
            if each.old.parent == parent:
                before = _word(each.old.short, each.new.short, before)
            elif _reads_only(each.old.parent, before):
                # PostgreSQL 16 and newer leave the table's name out where a query reads but one.
                before = _word(each.old.short, each.new.short, before, r"(?<!\bAS )")
                after = after.replace(f"{each.new.short} AS {each.old.short}", each.new.short)
        elif each.old.kind in RELATIONS:
            old, new = (one.name.rpartition(".")[2] for one in (each.old, each.new))
            before = _word(f"{old}.", f"{new}.", before)
    return before == after


def _reads_only(table: str, query: str) -> bool:
    """Whether a query's columns can be of no other table."""
    sources = re.findall(r"\b(?:FROM|JOIN)\s+(?:ONLY\s+)?([^\s,;)]+)", query)
    return sources == [table] and "," not in query.partition(f"FROM {table}")[2]


def _word(old: str, new: str, text: str, behind: str = "") -> str:
    end = "" if old.endswith(".") else r'(?![\w$"])'
    return re.sub(rf'(?<![\w$."]){behind}{re.escape(old)}{end}', lambda _: new, text)


def _pairs(
    went: Sequence[tuple[Object, Hashable | None]], came: Sequence[tuple[Object, Hashable | None]]
) -> Iterator[Rename]:
    left = list(came)
    for old, likeness in went:
        for index, (new, other) in enumerate(left):
            if likeness is not None and likeness == other:
                yield Rename(old, new)
                del left[index]
                break


def _schema(each: Object, snapshot: Snapshot) -> Hashable | None:
    found = [(one.kind, one.short) for one in snapshot.objects if one.parent == each.name]
    return tuple(sorted(found)) or None


def _relation(each: Object, snapshot: Snapshot) -> Hashable | None:
    columns = {one.short: str(one.attributes["type"]) for one in snapshot.of(each.name, "column")}
    names = each.attributes.get("columns")
    return tuple((name, columns.get(name)) for name in names) if isinstance(names, list) and names else None


def _column(each: Object, snapshot: Snapshot) -> Hashable | None:
    for kind in RELATIONS:
        table = snapshot.by_key.get((kind, each.parent))
        names = table.attributes.get("columns") if table else None
        if isinstance(names, list):
            return each.parent, each.attributes["type"], names.index(each.short)
    return None


def _routine(each: Object, _snapshot: Snapshot) -> Hashable | None:
    arguments = each.name[each.name.index("(") :] if "(" in each.name else ""
    return arguments, str(each.attributes.get("returns")), str(each.attributes.get("definition"))


def _attributes(each: Object, _snapshot: Snapshot) -> Hashable | None:
    return repr(sorted(each.attributes.items()))


def _part(each: Object, _snapshot: Snapshot) -> Hashable | None:
    attributes = dict(each.attributes)
    if each.kind in _NAMED_IN_DEFINITION:
        # CREATE INDEX name ON ..., CREATE TRIGGER name BEFORE ...: the name is its own
        attributes["definition"] = _word(each.name.rpartition(".")[2], "", str(attributes["definition"]))
    return each.parent, repr(sorted(attributes.items(), key=lambda pair: pair[0]))
