"""What a database's schema is: a canonical snapshot of pg_catalog, its digest, and the difference of two.

before = fingerprint.take(connection)
...
for change in fingerprint.difference(before, fingerprint.take(connection)):
    print(change)

Two servers of one major version give the same snapshot for the same schema. Not in it: rows, statistics, values of
sequences, comments, and the runner's own record. `catalogue` says what is in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import psycopg
from psycopg import sql

from migrator import catalogue, printed, traits
from migrator.errors import Blocked, DatabaseCommandFailed, InvalidMigration

Value = str | int | bool | list[str] | None
LEFT_OUT = ("migrator",)
_FORMAT = 1
_LOCK_NOT_AVAILABLE = "55P03"
RELATIONS = ("table", "foreign table", "view", "materialized view")
# Attributes that hold expressions as the server prints them.
_PRINTED = frozenset(
    (
        "arguments",
        "body",
        "check",
        "checks",
        "default",
        "definition",
        "expressions",
        "generated",
        "partition of",
        "partitioned by",
        "rows",
        "using",
    )
)


@dataclass(frozen=True)
class Object:
    """One object of a schema.

    Attributes:
        kind: such as `table`, `column`, `index`.
        name: qualified, quoted where SQL needs it, such as `public.accounts.balance`; with the types of its arguments
            for a routine.
        parent: name of the object it is part of: a column's table, a table's schema; empty where there is none.
        attributes: what makes it what it is; those that have their usual value are left out.
        facts: what follows from these, or is this database's own, and helps to judge a change: in no digest, no difference.
    """

    kind: str
    name: str
    parent: str
    attributes: Mapping[str, Value] = field(hash=False)
    facts: Mapping[str, Value] = field(default_factory=dict, hash=False, compare=False)

    @property
    def short(self) -> str:
        """Its name inside of its parent."""
        return self.name.removeprefix(f"{self.parent}.")


@dataclass(frozen=True)
class Snapshot:
    """The schema of one database at one moment.

    Attributes:
        postgres: the server's major version; definitions are printed differently by different ones.
        objects: ordered by kind and name.
    """

    postgres: int
    objects: tuple[Object, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical text; equal digests mean that there is no difference."""
        lines = (json.dumps([each.kind, each.name, each.attributes], sort_keys=True) for each in self.objects)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def by_key(self) -> Mapping[tuple[str, str], Object]:
        """The objects by kind and name."""
        return {(each.kind, each.name): each for each in self.objects}

    def of(self, parent: str, kind: str) -> tuple[Object, ...]:
        """Gives the objects of a kind that are part of another object."""
        return tuple(each for each in self._children.get(parent, ()) if each.kind == kind)

    @cached_property
    def _children(self) -> Mapping[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for each in self.objects:
            found.setdefault(each.parent, []).append(each)
        return found

    def to_json(self) -> str:
        """Gives it as JSON text, one object a line, so that text tools can compare two."""
        lines = (
            json.dumps([each.kind, each.name, each.parent, each.attributes, each.facts], sort_keys=True)
            for each in self.objects
        )
        objects = ",\n".join(lines)
        return f'{{"format": {_FORMAT}, "postgres": {self.postgres}, "digest": "{self.digest}", "objects": [\n{objects}\n]}}\n'

    @classmethod
    def from_json(cls, text: str | bytes) -> Snapshot:
        """Reads what `to_json` wrote.

        Raises:
            InvalidMigration: it is something else, or was changed.
        """
        try:
            given = json.loads(text)
            if given["format"] != _FORMAT:
                raise InvalidMigration(
                    f"a fingerprint of format {given['format']}", hint="Take it again with this version."
                )
            found = cls(int(given["postgres"]), tuple(Object(*each) for each in given["objects"]))
            digest = given["digest"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidMigration(
                f"this is no fingerprint: {error}", hint="Write one with `fingerprint --out`."
            ) from None
        if found.digest != digest:
            raise InvalidMigration("the fingerprint's text was changed", hint="Take it again.")
        # One that was written before printed forms were made one still compares.
        return cls(
            found.postgres, tuple(replace(each, attributes=_in_one_form(each.attributes)) for each in found.objects)
        )


@dataclass(frozen=True)
class Change:
    """One difference between two snapshots.

    Attributes:
        kind: `added`, `removed` or `changed`.
        object: kind of the object.
        name: its qualified name.
        parent: the object it is part of.
        before: attributes before: all of a removed object's, the changed ones of a changed one.
        after: the same afterwards; an attribute that one side lacks is None there.
    """

    kind: Literal["added", "removed", "changed"]
    object: str
    name: str
    parent: str
    before: Mapping[str, Value] = field(hash=False)
    after: Mapping[str, Value] = field(hash=False)

    @property
    def text(self) -> str:
        """The change on one line."""
        what = f"{self.object} {self.name}".strip()
        if self.kind == "changed":
            parts = [_turned(key, self.before.get(key), self.after.get(key)) for key in self.after]
            return f"{what}: {'; '.join(parts)}"
        attributes = self.after if self.kind == "added" else self.before
        known = attributes.get("type") or attributes.get("definition")
        detail = f" ({_shown(known)})" if known else ""
        return f"{self.kind} {what}{detail}"

    def __str__(self) -> str:
        return self.text

    def as_json(self) -> dict[str, Value | Mapping[str, Value]]:
        """Gives it as values for JSON."""
        return {
            "kind": self.kind,
            "object": self.object,
            "name": self.name,
            "parent": self.parent,
            "before": dict(self.before),
            "after": dict(self.after),
            "text": self.text,
        }


def take(
    connection: psycopg.Connection, *, left_out: Collection[str] = LEFT_OUT, lock_timeout: float = 5.0
) -> Snapshot:
    """Takes the snapshot of a database, reading only.

    Outside of a transaction it opens one of its own, REPEATABLE READ and READ ONLY. Inside of one it sees what that
    transaction sees, changes not yet committed included.

    Args:
        connection: to the database; usable as before afterwards.
        left_out: schemas to leave out with all they hold.
        lock_timeout: seconds to wait for a session that has a view's table locked; nothing else here waits for locks.

    Raises:
        Blocked: a lock was not free within that time.
        DatabaseCommandFailed: the server refused for another reason.
    """
    alone = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    try:
        # Rolled back: the settings made here must not stay in a transaction that goes on.
        with connection.transaction(force_rollback=True):
            if alone:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            connection.execute(f"SET LOCAL lock_timeout TO {round(lock_timeout * 1000)}; {catalogue.SESSION}".encode())
            names = sql.Literal(list(left_out))
            connection.execute(sql.SQL("SELECT set_config('migrator.left_out', {}::text[]::text, true)").format(names))
            rows = [row for query in catalogue.QUERIES for row in connection.execute(query.encode()).fetchall()]
    except psycopg.Error as error:
        message = error.diag.message_primary or " ".join(str(error).split())
        if error.sqlstate == _LOCK_NOT_AVAILABLE:
            raise Blocked(
                f"the schema cannot be read: a table of a view is locked ({message})",
                hint="Wait for the session that changes it; pg_locks names it.",
                sqlstate=_LOCK_NOT_AVAILABLE,
            ) from None
        raise DatabaseCommandFailed(
            f"the schema cannot be read: {message}",
            hint=error.diag.message_hint or "",
            sqlstate=error.sqlstate or "",
        ) from None
    objects = sorted(
        (
            Object(kind, name, parent, _attributes(json.loads(text)), *map(json.loads, facts))
            for kind, name, parent, text, *facts in rows
        ),
        key=lambda each: (each.kind, each.name),
    )
    return Snapshot(connection.info.server_version // 10_000, tuple(objects))


def _attributes(given: Mapping[str, Value]) -> Mapping[str, Value]:
    attributes = dict(_in_one_form(given))
    body = attributes.pop("body", None)
    if body is not None:  # one that the server prints, which it does in two forms too
        attributes["definition"] = f"sha256 {hashlib.sha256(str(body).encode()).hexdigest()}"
    return attributes


def _in_one_form(attributes: Mapping[str, Value]) -> Mapping[str, Value]:
    if _PRINTED.isdisjoint(attributes) and "settings" not in attributes:
        return attributes
    return {
        key: _printed(value) if key in _PRINTED else _without_secrets(value) if key == "settings" else value
        for key, value in attributes.items()
    }


def _without_secrets(settings: Value) -> Value:
    """Settings with a digest of each value that may be secret: a fingerprint is stored and shown."""
    assert isinstance(settings, list), "the query makes it a list"
    found = []
    for each in settings:
        name, _, value = each.partition("=")
        is_shown = value.startswith("sha256 ") or not traits.shown(name.rpartition(": ")[2], value).endswith("=…")
        found.append(each if is_shown else f"{name}=sha256 {hashlib.sha256(value.encode()).hexdigest()[:16]}")
    return found


def _printed(value: Value) -> Value:
    if isinstance(value, list):
        return [printed.canonical(each) for each in value]
    return printed.canonical(value) if isinstance(value, str) else value


def difference(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """Gives what is different, ordered by the objects' names.

    Args:
        before: of the same major version of PostgreSQL as `after`.
        after: the later one.

    Raises:
        InvalidMigration: they are of different major versions, whose catalogues print definitions differently.
    """
    if before.postgres != after.postgres:
        raise InvalidMigration(
            f"fingerprints of PostgreSQL {before.postgres} and {after.postgres} do not compare",
            hint="Take both on servers of one major version.",
        )
    if before.digest == after.digest:
        return ()
    changes = [change for key in {*before.by_key, *after.by_key} for change in _changes(before, after, key)]
    return tuple(sorted(changes, key=lambda each: (each.name, each.object)))


def _changes(before: Snapshot, after: Snapshot, key: tuple[str, str]) -> Iterator[Change]:
    old, new = before.by_key.get(key), after.by_key.get(key)
    if new is None:
        assert old is not None, "a key comes from one of the two"
        yield Change("removed", old.kind, old.name, old.parent, old.attributes, {})
        return
    if old is None:
        yield Change("added", new.kind, new.name, new.parent, {}, new.attributes)
        return
    first, second = dict(old.attributes), dict(new.attributes)
    if new.kind in RELATIONS:
        _keep_order_only(first, second)
    names = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    if names:
        yield Change(
            "changed",
            new.kind,
            new.name,
            new.parent,
            {name: first.get(name) for name in names},
            {name: second.get(name) for name in names},
        )


def _keep_order_only(first: dict[str, Value], second: dict[str, Value]) -> None:
    """Columns that came or went are changes of their own; of a table's list only the order of the others matters."""
    one, other = first.get("columns") or [], second.get("columns") or []
    assert isinstance(one, list), "the query makes it a list"
    assert isinstance(other, list), "the query makes it a list"
    first["columns"] = [each for each in one if each in other]
    second["columns"] = [each for each in other if each in one]


def _turned(name: str, before: Value, after: Value) -> str:
    if isinstance(before, list | None) and isinstance(after, list | None):
        one, other = before or [], after or []
        if sorted(one) != sorted(other):
            signs = [f"- {each}" for each in one if each not in other] + [
                f"+ {each}" for each in other if each not in one
            ]
            return f"{name} {_cut(', '.join(signs))}"
    return f"{name} {_shown(before)} -> {_shown(after)}"


def _shown(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _cut(", ".join(value) if isinstance(value, list) else str(value))


def _cut(text: str, characters: int = 120) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= characters else f"{flat[: characters - 1]}…"
