"""Which tables the server lets nobody update, since subscribers could not tell their rows apart."""

from __future__ import annotations

from migrator.compatibility import meaning
from migrator.compatibility.questions import key_columns, parents_of
from migrator.compatibility.rule import Case
from migrator.fingerprint import Object, Snapshot


def refuses_changes(case: Case) -> bool:
    """Whether it is by this change that UPDATE and DELETE of a table that was there are refused."""
    if case.object in ("publication", "published table", "published schema"):
        tables = [each for each in case.after.objects if each.kind == "table"]
    elif case.attribute == "replica identity" or (
        case.kind in ("removed", "changed") and case.object in ("constraint", "index")
    ):
        found = case.after.by_key.get(("table", case.name if case.object == "table" else case.parent))
        tables = [found] if found else []
    else:
        return False
    return any(
        old is not None and _is_refusing(case.after, each) and not _is_refusing(case.before, old)
        for each in tables
        for old in (case.before.by_key.get(("table", each.name)),)
    )


def _is_refusing(schema: Snapshot, table: Object) -> bool:
    """Whether a table is published, and what tells its rows apart is not."""
    if "partitioned by" in table.attributes or "persistence" in table.attributes:
        return False
    return any(
        (each.attributes.get("pubupdate") or each.attributes.get("pubdelete")) and _refused(schema, each, table)
        for each in schema.of("", "publication")
    )


def _refused(schema: Snapshot, publication: Object, table: Object) -> bool:
    names = [table.name, *_ancestors(schema, table)]
    entry = next(
        (found for name in names if (found := schema.by_key.get(("published table", f"{publication.name} {name}")))),
        None,
    )
    schemas = {name.rpartition(".")[0] for name in names}
    whole = publication.attributes.get("puballtables") or any(
        ("published schema", f"{publication.name} {each}") in schema.by_key for each in schemas
    )
    if entry is None and not whole:
        return False
    identity = _identity(schema, table)
    if identity is None:
        return False
    if not identity:
        return True
    listed, rows = (entry.attributes.get(key) for key in ("columns", "rows")) if entry else (None, None)
    filtered = meaning.words(str(rows or "")) & {each.short for each in schema.of(table.name, "column")}
    return bool(filtered - identity) or (isinstance(listed, list) and not identity <= set(listed))


def _ancestors(schema: Snapshot, table: Object) -> list[str]:
    found: list[str] = []
    while table.attributes.get("partition of"):
        (name,) = parents_of(table)
        found.append(name)
        table = schema.by_key["table", name]
    return found


def _identity(schema: Snapshot, table: Object) -> frozenset[str] | None:
    """The columns that tell a table's rows apart to subscribers; None for all."""
    how = table.attributes.get("replica identity")
    if how == "full":
        return None
    if how == "index":
        chosen = [each for each in schema.of(table.name, "index") if each.attributes.get("replica identity")]
        return key_columns(chosen[0]) if chosen else frozenset()
    if how == "nothing":
        return frozenset()
    keys = [each for each in schema.of(table.name, "constraint") if each.attributes["type"] == "primary key"]
    return key_columns(keys[0]) if keys else frozenset()
