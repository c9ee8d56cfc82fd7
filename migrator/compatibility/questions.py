"""What several rules ask about a case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from migrator.compatibility import meaning
from migrator.compatibility.rule import Case
from migrator.fingerprint import Object, Snapshot, Value

TABLES = ("table", "foreign table")
VIEWS = ("view", "materialized view")
TYPES = ("enum", "domain", "composite type", "range type", "type")
ROUTINES = ("function", "procedure", "aggregate")
_WRITES = ("INSERT", "UPDATE", "DELETE")
ROW = "SELECT *"  # the columns that it gives of a relation, as an attribute of the relation
# Functions of the server itself whose value differs from row to row: a column with such a default is filled row by row.
_VOLATILE = re.compile(
    r"\b(?:nextval|random|gen_random_uuid|uuidv4|uuidv7|clock_timestamp|timeofday|setval|pg_sleep|txid_current_if_assigned)\("
)

# How an index is stored, and what it holds beside its key.
_STORED = re.compile(r"( INCLUDE \([^()]*\))?( NULLS NOT DISTINCT)?( WITH \([^()]*\))?( TABLESPACE \S+)?(?= WHERE |$)")

_NAME = re.compile(r'(?:"(?:[^"]|"")+"|[^". ]+)\.(?:"(?:[^"]|"")+"|[^". ]+)')


def has_no_equality(case: Case) -> bool:
    """Whether DISTINCT finds no operator for a column's type."""
    database = case.after.by_key.get(("database", ""))
    return database is not None and case.given("type") in list_of(database.facts.get("types without equality"))


def is_column_of_table(case: Case) -> bool:
    """Whether the column is one of a table, not of a view."""
    relation = case.relation(after=case.kind != "removed")
    return case.object == "column" and relation is not None and relation.kind in TABLES


def is_required(case: Case) -> bool:
    """Whether an INSERT that does not know the column fails."""
    domains = list(domains_of(case.after, case.given("type")))
    filled = [case.given("default"), case.given("generated"), case.given("identity")]
    filled += [each.attributes.get("default") for each in domains]
    return all(each is None for each in filled) and (
        case.given("nullable") is False or any(map(_takes_no_null, domains))
    )


def domains_of(schema: Snapshot, kind: Value) -> Iterator[Object]:
    """A column's domain, and those that this one is made of."""
    while domain := schema.by_key.get(("domain", str(kind))):
        yield domain
        kind = domain.attributes.get("type")


def _takes_no_null(domain: Object) -> bool:
    checks = domain.attributes.get("checks")
    return domain.attributes.get("nullable") is False or (
        isinstance(checks, list) and any("VALUE IS NOT NULL" in each for each in checks)
    )


def fills_row_by_row(case: Case) -> bool:
    """Whether adding the column writes the table anew."""
    default = str(case.given("default") or "")
    own = "(" in default and any(
        f"{each.name.partition('(')[0]}(" in default
        for each in case.after.objects
        if each.kind == "function" and each.attributes.get("volatility") == "volatile"
    )
    return (
        case.given("generated") is not None
        or case.given("identity") is not None
        or own
        or _VOLATILE.search(default) is not None
    )


def parents_of(table: Object) -> list[str]:
    """Gives the tables that a table inherits from, or is a partition of."""
    inherits, bounds = table.attributes.get("inherits"), str(table.attributes.get("partition of") or "")
    name = _NAME.match(bounds)
    return [*(inherits if isinstance(inherits, list) else []), *([name.group()] if name else [])]


def demands_more_than_default(case: Case) -> bool:
    """Whether a new partition refuses rows that the default partition has taken in its place."""
    assert case.new is not None, "asked about a table that was added"
    (parent,) = parents_of(case.new)
    default = next(
        (each for each in case.before.objects if each.attributes.get("partition of") == f"{parent} DEFAULT"),
        None,
    )
    return default is not None and not _demands(case.new, case.after) <= _demands(default, case.before)


def _demands(table: Object, schema: Snapshot) -> set[str]:
    """What a table asks of its rows beside what its parent does; a trigger may ask anything."""
    key = table.attributes.get("partitioned by")
    return {
        *(f"NOT NULL {each.short}" for each in schema.of(table.name, "column") if each.attributes["nullable"] is False),
        *(
            str(each.attributes["definition"])
            for each in schema.of(table.name, "constraint")
            if "inherited" not in each.attributes
        ),
        *(
            str(each.attributes["definition"]).partition(" USING ")[2]
            for each in schema.of(table.name, "index")
            if each.attributes["unique"] is True and not {"partition of", "constraint"} & each.attributes.keys()
        ),
        *(f"TRIGGER {each.short}" for each in schema.of(table.name, "trigger")),
        *([f"PARTITION BY {key}"] if key else []),
    }


def key_columns(each: Object | None) -> frozenset[str]:
    """Gives the columns of a constraint or an index."""
    names = each.attributes.get("columns") if each else None
    return frozenset(names) if isinstance(names, list) else frozenset()


def is_unique(each: Object) -> bool:
    """Whether it is a constraint or an index that admits no duplicates in the whole table."""
    if each.kind == "constraint":
        return each.attributes["type"] in ("primary key", "unique") and "DEFERRABLE" not in str(
            each.attributes["definition"]
        ).replace("NOT DEFERRABLE", "")
    whole = "partial" not in each.attributes and "(expression)" not in key_columns(each)
    return each.kind == "index" and each.attributes.get("unique") is True and each.attributes["valid"] is True and whole


def uniques(schema: Snapshot, table: str) -> list[Object]:
    """Gives a table's unique constraints and indexes."""
    return [each for kind in ("constraint", "index") for each in schema.of(table, kind) if is_unique(each)]


def unique_before(case: Case) -> bool:
    """Whether what a new constraint or index demands followed from one that was there."""
    assert case.new is not None, "asked about one that is there now"
    definition = str(case.new.attributes["definition"])
    wanted = frozenset(
        each for each in key_columns(case.new) if case.object != "index" or _compared_as_usual(each, definition)
    )
    strict = "NULLS NOT DISTINCT" in definition
    return bool(wanted) and any(
        key_columns(each) <= wanted
        and (
            not strict
            or "NULLS NOT DISTINCT" in str(each.attributes["definition"])
            or not_null(case, key_columns(each))
        )
        for each in uniques(case.before, case.parent)
    )


def _compared_as_usual(column: str, index: str) -> bool:
    """Whether a column stands in an index without a collation or operators of the index's own, by which others are equal."""
    keys = index.partition(" USING btree ")[2]
    return re.search(rf"[(,] ?{re.escape(column)}(?: DESC)?(?: NULLS (?:FIRST|LAST))?[,)]", keys) is not None


def unique_as_before(case: Case) -> bool:
    """Whether a changed index admits the rows that it admitted, and ON CONFLICT finds it as before."""
    assert case.old is not None, "asked about an index that was changed"
    assert case.new is not None, "and is still there"
    old, new = (_STORED.sub(r"\2", str(each.attributes["definition"])) for each in (case.old, case.new))
    return old == new


def unique_still(case: Case) -> bool:
    """Whether the same columns are unique by another constraint or index, or by the changed one itself."""
    return any(
        key_columns(each) == key_columns(case.old) and (each.name != case.name or case.kind == "changed")
        for each in uniques(case.after, case.parent)
    )


def not_null_before(case: Case) -> bool:
    """Whether all columns of a new key were NOT NULL before."""
    return not_null(case, key_columns(case.new))


def not_null(case: Case, columns: frozenset[str]) -> bool:
    """Whether columns took no NULL before."""
    nullable = {each.short: each.attributes["nullable"] for each in case.before.of(case.parent, "column")}
    return all(nullable.get(name) is False or _refuses_null(case.before, case.parent, name) for name in columns)


def null_refused_before(case: Case) -> bool:
    """Whether a column took no NULL before already: by a CHECK, valid or not, or by its domain."""
    assert case.old is not None, "asked about a column that was there"
    return _refuses_null(case.before, case.parent, case.old.short)


def _refuses_null(schema: Snapshot, table: str, column: str) -> bool:
    kind = column_types(schema, table).get(column)
    return (column, "IS", "NOT", "NULL") in _demanded(schema, table) or any(
        map(_takes_no_null, domains_of(schema, kind))
    )


def column_types(schema: Snapshot, table: str) -> dict[str, str]:
    """Gives the types of a relation's columns."""
    return {each.short: str(each.attributes["type"]) for each in schema.of(table, "column")}


def _demanded(schema: Snapshot, table: str, *, without: str = "") -> list[meaning.Parts]:
    """What a table's CHECK constraints demand of new rows, part by part; those that are switched off left out."""
    types = column_types(schema, table)
    return [
        part
        for each in schema.of(table, "constraint")
        if each.attributes["type"] == "check" and each.name != without and each.attributes.get("enforced") is not False
        for part in meaning.demands(str(each.attributes["definition"]), types) or ()
    ]


def demanded_before(case: Case) -> bool:
    """Whether what a new constraint, or a changed one, demands was demanded before."""
    assert case.new is not None, "asked about one that is there now"
    return _stands(case.new, case.before, case.after)


def demanded_still(case: Case) -> bool:
    """Whether what a dropped constraint demanded is demanded by others."""
    assert case.old is not None, "asked about one that was there"
    return _stands(case.old, case.after, case.before)


def _stands(wanted: Object, schema: Snapshot, own: Snapshot) -> bool:
    """Whether a schema demands what a constraint of another one does."""
    definition, kind = str(wanted.attributes["definition"]), wanted.attributes["type"]
    here, there = (column_types(each, wanted.parent) for each in (own, schema))
    if any(
        each.attributes["type"] == kind
        and each.attributes.get("enforced") is not False
        and meaning.same(str(each.attributes["definition"]), definition, there, here)
        for each in schema.of(wanted.parent, "constraint")
    ):
        return True
    parts = meaning.demands(definition, here) if kind == "check" and "NO INHERIT" not in definition else None
    if not parts:
        return False
    columns = schema.of(wanted.parent, "column")
    not_null = {each.short for each in columns if each.attributes["nullable"] is False}
    known = _demanded(schema, wanted.parent)
    return all(meaning.follows(each, known, not_null) for each in parts)


def has_default_partition(schema: Snapshot, parent: str) -> bool:
    """Whether rows that fit no other partition of a table have one all the same."""
    return any(each.attributes.get("partition of") == f"{parent} DEFAULT" for each in schema.objects)


def inherits_from_old(case: Case) -> bool:
    """Whether a new table inherits from one that was there."""
    return any((kind, name) in case.before.by_key for kind in TABLES for name in list_of(case.given("inherits")))


def was_another(case: Case) -> bool:
    """Whether a changed constraint refuses fewer rows than it did."""
    return case.kind == "changed" and not _stands_in_place(case)


def _stands_in_place(case: Case) -> bool:
    assert case.old is not None, "asked about one that was there"
    return _stands(case.old, case.after, case.before)


def range_is_left(case: Case) -> bool:
    """Whether rows that a partition took before it was dropped or detached have no place any more."""
    assert case.old is not None, "asked about a partition that was there"
    (parent,) = parents_of(case.old)
    come = [
        each
        for each in case.after.objects
        if each.attributes.get("partition of")
        and parents_of(each) == [parent]
        and case.before.by_key.get((each.kind, each.name), each).attributes.get("partition of")
        != each.attributes["partition of"]
    ]
    return not come and not has_default_partition(case.after, parent)


def list_of(value: Value) -> list[str]:
    """Gives an attribute that is a list; an empty one where it is none."""
    return value if isinstance(value, list) else []


def stops_writes(case: Case) -> bool:
    """Whether a view, or a column of it, that could be written cannot any more."""
    if case.is_("removed", "table"):  # a view that takes its place
        taker = next((found for kind in VIEWS if (found := case.after.by_key.get((kind, case.name)))), None)
        return taker is not None and len(list_of(taker.facts.get("writable"))) < len(_WRITES)
    name = case.name if case.object == "view" else case.parent
    old, new = (each.by_key.get(("view", name)) for each in (case.before, case.after))
    if old is None or new is None:
        return False
    if set(list_of(old.facts.get("writable"))) - set(list_of(new.facts.get("writable"))):
        return True
    left = {each.short for each in case.after.of(name, "column")}
    was, now = (set(list_of(each.facts.get("writable columns"))) for each in (old, new))
    return bool((was - now) & left)


def row_security(case: Case) -> bool:
    """Whether the policy's table has row security switched on."""
    table = case.relation(after=case.kind != "removed")
    return table is not None and table.attributes.get("row security") in ("enabled", "forced")


def is_constraint(case: Case, kind: str, *types: str) -> bool:
    """Whether a constraint of such a type was added, removed or changed in its definition."""
    attribute = "definition" if kind == "changed" else ""
    return case.is_(kind, "constraint", attribute=attribute) and case.given("type") in types


def same_name_routines(routine: Object, schema: Snapshot) -> list[Object]:
    """Gives the other routines of the same name."""
    name = routine.name.partition("(")[0]
    return [
        each
        for each in schema.objects
        if each.kind in ROUTINES and each.name != routine.name and each.name.partition("(")[0] == name
    ]


def arguments(routine: Object) -> list[str]:
    """Gives the types of a routine's input arguments."""
    inside = routine.name.partition("(")[2].removesuffix(")")
    return re.split(r", (?![^(]*\))", inside) if inside else []


def successor(dropped: Object, after: Snapshot) -> Object | None:
    """Gives the routine that takes a dropped one's calls: its arguments first, the others by default, same result.

    None too if there are several: a call that fits them all is ambiguous.
    """
    old = arguments(dropped)
    found = [
        each
        for each in same_name_routines(dropped, after)
        if each.kind == dropped.kind
        and arguments(each)[: len(old)] == old
        and int(str(each.attributes["required arguments"])) <= len(old)
        and each.attributes.get("returns") == dropped.attributes.get("returns")
    ]
    return found[0] if len(found) == 1 else None


def replaces(case: Case) -> bool:
    """Whether a new routine comes in place of one of its name that was dropped, which is judged there."""
    assert case.new is not None, "asked about a routine that was added"
    successors = [
        successor(each, case.after)
        for each in same_name_routines(case.new, case.before)
        if (each.kind, each.name) not in case.after.by_key
    ]
    return any(each is None or each.name == case.name for each in successors)


def replaced_in_place(case: Case) -> bool:
    """Whether a list's entries changed without any moving: what RENAME VALUE does."""
    if not isinstance(case.was, list) or not isinstance(case.now, list) or len(case.was) != len(case.now):
        return False
    return not {old for old, new in zip(case.was, case.now, strict=True) if old != new} & set(case.now)


def is_new_foreign_key(case: Case) -> bool:
    """Whether a foreign key was added to columns that nobody writes yet."""
    return is_constraint(case, "added", "foreign key") and not key_columns(case.new) & old_columns(case)


def gives_way(case: Case) -> bool:
    """Whether a new foreign key lets every row that it refers to be deleted or get another key."""
    columns = {each.short: each.attributes for each in case.after.of(case.parent, "column")}
    own = [columns[name] for name in key_columns(case.new)]
    for event in ("DELETE", "UPDATE"):
        action = re.search(rf" ON {event} (CASCADE|SET NULL)", str(case.given("definition")))
        if action is None or (action[1] == "SET NULL" and not all(_takes_null(case, each) for each in own)):
            return False
    # Rows of the previous version hold the default of a column that it does not know, and need a counterpart for it.
    return case.relation(after=False) is None or all(default_of(case, each) is None for each in own)


def _takes_null(case: Case, column: Mapping[str, Value]) -> bool:
    return column["nullable"] is True and not any(map(_takes_no_null, domains_of(case.after, column["type"])))


def default_of(case: Case, column: Mapping[str, Value]) -> Value:
    """Gives what fills a column that an INSERT leaves out: its own default or identity, or its domain's default."""
    own = column.get("default") or column.get("identity")
    return own or next(
        (found for each in domains_of(case.after, column["type"]) if (found := each.attributes.get("default"))), None
    )


def old_columns(case: Case) -> frozenset[str]:
    """Gives the columns that the table had before."""
    return frozenset(each.short for each in case.before.of(case.parent, "column"))


def is_trigger_function(routine: Object | None) -> bool:
    """Whether only triggers can call a routine."""
    return routine is not None and routine.attributes.get("returns") in ("trigger", "event_trigger")


def was_called_by_triggers_alone(case: Case) -> bool:
    """Whether all routines that name a removed one are trigger functions that are removed too, or are called by those alone."""
    assert case.old is not None, "asked about a routine that was removed"
    routines = [each for each in case.before.objects if each.kind in ROUTINES]
    kept = {each.name for each in case.after.objects if each.kind in ROUTINES}

    def internal(routine: Object, path: frozenset[str]) -> bool:
        if routine.name in kept or routine.name in path:
            return False
        if is_trigger_function(routine):
            return True
        short = routine.short.partition("(")[0]
        callers = [each for each in routines if each.name != routine.name and short in _names(each)]
        return bool(callers) and all(internal(each, path | {routine.name}) for each in callers)

    return internal(case.old, frozenset())


def _names(routine: Object) -> list[str]:
    found = routine.facts.get("names")
    return found if isinstance(found, list) else []


_TIMING = re.compile(
    r" (?:NOT DEFERRABLE|DEFERRABLE|INITIALLY DEFERRED|INITIALLY IMMEDIATE)"
    r"| ON (?:DELETE|UPDATE) (?:CASCADE|RESTRICT|NO ACTION|SET NULL|SET DEFAULT)(?: \([^)]*\))?"
)


def same_but_for_timing(case: Case) -> bool:
    """Whether a constraint demands the same of the rows."""
    assert case.old is not None, "asked about a constraint that was changed"
    assert case.new is not None, "and is still there"
    old, new = (_TIMING.sub("", str(each.attributes["definition"])) for each in (case.old, case.new))
    return old == new
