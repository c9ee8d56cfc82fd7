"""From a difference to the cases that rules judge: each change once, where it matters, and one attribute at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from migrator.compatibility import meaning
from migrator.compatibility.questions import ROUTINES, ROW, column_types, parents_of, successor
from migrator.compatibility.renames import Rename, find, same
from migrator.compatibility.rule import Case
from migrator.fingerprint import RELATIONS, Change, Object, Snapshot, Value, difference

# Where the first of these changes, the others say the same in other words.
_SAME_IN_OTHER_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("constraint", "definition"): ("type", "columns", "references", "on delete"),
    ("index", "definition"): ("columns", "unique", "partial"),
    ("column", "identity"): ("identity sequence", "default"),
    ("column", "generated"): ("default",),
}
# What the server prints with casts that depend on the columns' types.
_PRINTED = {("constraint", "definition"), ("index", "definition"), ("column", "default")}
_CONTAINERS = ("schema", *RELATIONS)


def cases(before: Snapshot, after: Snapshot) -> list[Case]:
    """Gives what rules are to judge.

    Left out is what follows from another change: the parts of a dropped or created table, a dropped column's indexes, a
    constraint's own index, the definitions in which a renamed object appears, what a child has changed with its parent. A
    dropped routine whose calls another one takes is a changed one.
    """
    changes = difference(before, after)
    return list(_Cases(before, after, changes).all())


class _Cases:
    def __init__(self, before: Snapshot, after: Snapshot, changes: Sequence[Change]) -> None:
        self._before, self._after, self._changes = before, after, changes
        self._renames = find(before, after, changes)
        self._by_key = {(each.object, each.name): each for each in changes}
        self._of_table: dict[tuple[str, str], list[Change]] = {}
        for each in changes:
            self._of_table.setdefault((each.object, each.parent), []).append(each)
        gone, new = (
            {each.name for each in changes if each.object in _CONTAINERS and each.kind == kind}
            for kind in ("removed", "added")
        )
        # A table that gave way to a view of its name: its columns are still there, its constraints are the view's no more.
        self._replaced = gone & new
        self._gone, self._new = gone - self._replaced, new - self._replaced
        self._gone_columns = {each.name for each in changes if each.object == "column" and each.kind == "removed"}

    def all(self) -> Iterator[Case]:
        renamed_from = {(each.old.kind, each.old.name): each for each in self._renames}
        renamed_to = {(each.new.kind, each.new.name) for each in self._renames}
        for change in self._changes:
            key = (change.object, change.name)
            old, new = self._before.by_key.get(key), self._after.by_key.get(key)
            if self._follows(change, old, new):
                continue
            if change.kind == "removed" and key in renamed_from and change.name not in self._replaced:
                yield self._renamed(renamed_from[key])
            elif (
                change.kind == "removed"
                and old is not None
                and old.kind in ROUTINES
                and (taker := successor(old, self._after))
            ):
                for attribute in sorted({*old.attributes, *taker.attributes}):
                    if not same(
                        old.attributes.get(attribute), taker.attributes.get(attribute), self._renames, old.parent
                    ):
                        yield Case("changed", old, taker, self._before, self._after, attribute)
            elif change.kind == "added" and key in renamed_to:
                continue
            elif change.kind == "changed":
                for attribute in self._telling(change):
                    yield Case("changed", old, new, self._before, self._after, attribute)
            else:
                yield Case(change.kind, old, new, self._before, self._after)
        yield from self._rows()

    def _rows(self) -> Iterator[Case]:
        """What `SELECT *` gives of each relation that is still there, told of a parent alone where it has come down from it."""
        for old in self._before.objects:
            new = self._after.by_key.get((old.kind, old.name)) if old.kind in RELATIONS else None
            if new is None or (set(parents_of(old)) & set(parents_of(new)) and self._inherits_still(old.name)):
                continue
            was, now = _row(old, self._before), _row(new, self._after)
            if not same(was, now, self._renames, old.name):
                one, other = (
                    replace(each, attributes={**each.attributes, ROW: row}) for each, row in ((old, was), (new, now))
                )
                yield Case("changed", one, other, self._before, self._after, ROW)

    def _renamed(self, rename: Rename) -> Case:
        return Case("renamed", rename.old, rename.new, self._before, self._after)

    def _telling(self, change: Change) -> Iterator[str]:
        """The attributes that say something of their own."""
        others = {each for name in change.after for each in _SAME_IN_OTHER_WORDS.get((change.object, name), ())}
        for name, now in change.after.items():
            if name == "inherited" and (now is not None or not self._inherits_still(change.parent)):
                continue
            if name in others or (change.parent in self._replaced and name != "type"):
                continue
            if self._comes_from_parent(change, name) or self._is_printed_otherwise(change, name):
                continue
            if not same(change.before.get(name), now, self._renames, change.parent):
                yield name

    def _is_printed_otherwise(self, change: Change, attribute: str) -> bool:
        """Whether a definition or a default says the same: a cast in it follows a column's type."""
        if (change.object, attribute) not in _PRINTED:
            return False
        was, now = change.before.get(attribute), change.after.get(attribute)
        table = change.parent
        return (
            isinstance(was, str)
            and isinstance(now, str)
            and meaning.same(was, now, column_types(self._before, table), column_types(self._after, table))
        )

    def _follows(self, change: Change, old: Object | None, new: Object | None) -> bool:
        """Whether the change follows from another one."""
        either = new or old
        assert either is not None, "a change has an object on one side at least"
        if old is not None and old.parent in self._gone:
            return True
        if old is None and either.parent in self._new:
            return not self._reaches_out(either)
        if either.parent in self._replaced and (change.object != "column" or change.kind == "added"):
            return True
        if _is_index_of_constraint(old) or _is_index_of_constraint(new):
            return True
        if change.kind == "removed" and (
            self._columns_of(either) & self._gone_columns
            or self._owner(either) in self._gone_columns | self._gone
            or _table_of(self._owner(either)) in self._gone
        ):
            return True
        if change.object == "column" and list(change.after) == ["nullable"] and change.after["nullable"] is False:
            return self._gets_primary_key(either)
        if either.kind == "index":
            return "partition of" in either.attributes
        return change.kind != "changed" and self._inherited(either)

    def _reaches_out(self, new: Object) -> bool:
        """Whether a part of something new bears on something that was there before."""
        if new.kind == "constraint":
            references = new.attributes.get("references")
            # A partition's that its parent has too is the parent's.
            return references is not None and references not in self._new and "inherited" not in new.attributes
        return new.kind in RELATIONS and "partition of" in new.attributes

    def _columns_of(self, each: Object) -> set[str]:
        names = each.attributes.get("columns")
        if each.kind not in ("constraint", "index") or not isinstance(names, list):
            return set()
        return {f"{each.parent}.{name}" for name in names}

    def _owner(self, each: Object) -> Value:
        return each.attributes.get("owned by") if each.kind == "sequence" else None

    def _gets_primary_key(self, column: Object) -> bool:
        return any(
            key.attributes["type"] == "primary key" and column.name in self._columns_of(key)
            for key in self._after.of(column.parent, "constraint")
            if ("constraint", key.name) not in self._before.by_key
        )

    def _inherited(self, each: Object) -> bool:
        """Whether a table got it, or lost it, with its parent, where it is judged."""
        if "inherited" not in each.attributes or not self._inherits_still(each.parent):
            return False
        if each.kind == "column":
            of_parents = [
                self._after.by_key.get(("column", f"{parent}.{each.short}")) for parent in self._parents(each)
            ]
            return any(one is None or _inheritable(one) == _inheritable(each) for one in of_parents)
        # Nobody can add or drop an inherited constraint on a child alone, nor one that stands for a partition referred to.
        return each.kind == "constraint"

    def _comes_from_parent(self, change: Change, attribute: str) -> bool:
        """Whether the same became of the same attribute where it is inherited from, so that it is judged there."""
        new = self._after.by_key.get((change.object, change.name))
        if new is None or "inherited" not in new.attributes or attribute == "grants":  # GRANT is for one table alone
            return False
        if new.kind == "constraint":
            if attribute not in ("enforced", "validated"):
                return self._inherits_still(new.parent)  # as with adding, it cannot be done on a child alone
            # Names differ, and one that stands for a partition referred to is on the same table.
            tables = {*self._parents(new), new.parent}
            like = [each for table in tables for each in self._of_table.get(("constraint", table), ())]
        else:
            names = [(new.kind, f"{parent}.{new.short}") for parent in self._parents(new)]
            like = [self._by_key[each] for each in names if each in self._by_key]
        turned = change.before.get(attribute), change.after[attribute]
        return any(
            attribute in each.after and (each.before.get(attribute), each.after[attribute]) == turned
            for each in like
            if each.name != change.name
        )

    def _parents(self, each: Object) -> set[str]:
        """The tables that its table inherits from, before and after."""
        both = [set(parents_of(table)) for table in self._relations(each.parent)]
        return both[0] & both[1] if len(both) == 2 else set()

    def _inherits_still(self, table_name: str) -> bool:
        links = [
            (table.attributes.get("partition of"), table.attributes.get("inherits"))
            for table in self._relations(table_name)
        ]
        return len(links) == 2 and links[0] == links[1]

    def _relations(self, name: str) -> list[Object]:
        """What has this name among the relations: before and after, if it was there and is."""
        return [
            found
            for schema in (self._before, self._after)
            for kind in RELATIONS
            if (found := schema.by_key.get((kind, name)))
        ]


def _row(relation: Object, schema: Snapshot) -> list[str]:
    columns = {each.short: each.attributes for each in schema.of(relation.name, "column")}
    names = relation.attributes.get("columns")
    return [
        " ".join(filter(None, (name, str(columns[name]["type"]), str(columns[name].get("collation") or ""))))
        for name in (names if isinstance(names, list) else ())
        if name in columns
    ]


def _is_index_of_constraint(each: Object | None) -> bool:
    return each is not None and each.kind == "index" and "constraint" in each.attributes


def _inheritable(column: Object) -> dict[str, Value]:
    """What ADD COLUMN gives to the children too."""
    return {key: value for key, value in column.attributes.items() if key not in ("inherited", "grants")}


def _table_of(column: Value) -> str:
    return str(column or "").rpartition(".")[0]
