"""Whose a database is: a line in its comment (COMMENT ON DATABASE) that names the stack and the module.

A name proves nothing: `prod` with the module `ledger-eu` and `prod-ledger` with `eu` both have the database `prod-ledger-eu`. The
comment belongs to the database and not to its name, so it stays through a rename, is in no dump of the database alone (`pg_dump --create` has it), and every role can read it.
What else a comment says is kept.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

import psycopg
from psycopg import sql

from migrator.errors import ForeignDatabase, InvalidMigration

_PREFIX = "rollout: "
# Of an advisory lock, with the hash of the database's name as its second half; any number will do that others do not use.
_LOCK = 0x726F6C6C
LIVE, KEPT = "live", "kept"


@dataclass(frozen=True)
class Owner:
    """The module of a stack to which a database belongs.

    Attributes:
        stack: the label of the stack that it has on all its objects; two stacks of one name in other projects have others.
        module: name.
    """

    stack: str
    module: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Owner:
        """Reads ROLLOUT_STACK and ROLLOUT_MODULE.

        Raises:
            InvalidMigration: a variable is missing.
        """
        found = cls(environment.get("ROLLOUT_STACK", ""), environment.get("ROLLOUT_MODULE", ""))
        if not found.stack or not found.module:
            raise InvalidMigration(
                "ROLLOUT_STACK or ROLLOUT_MODULE is not set",
                hint="Set both: they say to whom the databases belong that this makes and drops.",
            )
        return found

    def __str__(self) -> str:
        return f"module {self.module} of stack {self.stack}"


@dataclass(frozen=True)
class Mark:
    """What the line in the comment says.

    Attributes:
        stack: see `Owner`.
        module: see `Owner`.
        purpose: `live` for what the module works on, `kept` for what a restore has replaced, else a kind of scratch database.
        database: name of the live database that it was made for.
    """

    stack: str
    module: str
    purpose: str
    database: str

    @classmethod
    def of(cls, owner: Owner, purpose: str, database: str) -> Mark:
        return cls(owner.stack, owner.module, purpose, database)

    @property
    def owner(self) -> Owner:
        return Owner(self.stack, self.module)

    def __str__(self) -> str:
        return _PREFIX + json.dumps(asdict(self))

    @classmethod
    def read(cls, comment: str | None) -> Mark | None:
        """The mark in a comment; None where there is none.

        What cannot be read, or stands there more than once, is somebody's mark all the same: `UNREADABLE`, which is nobody's here.
        """
        lines = [line for line in (comment or "").split("\n") if _is_mark(line)]
        if not lines:
            return None
        try:
            [line] = lines
            values = json.loads(line.strip().removeprefix(_PREFIX))
            found = cls(*(values[field.name] for field in fields(cls)))  # a later version's mark may say more
        except (ValueError, TypeError, KeyError, RecursionError):
            return UNREADABLE
        return found if all(isinstance(value, str) for value in asdict(found).values()) else UNREADABLE

    def within(self, comment: str | None) -> str:
        """A comment with this mark in the place of any other."""
        return "\n".join(filter(None, [without(comment), str(self)]))


def without(comment: str | None) -> str:
    """A comment without marks."""
    return "\n".join(line for line in (comment or "").split("\n") if line and not _is_mark(line))


def _is_mark(line: str) -> bool:
    """Whether it is ours, and not a person's that happens to begin with the same word."""
    return line.strip().startswith(_PREFIX + "{")


UNREADABLE = Mark("(unreadable)", "(unreadable)", "unreadable", "")


@dataclass(frozen=True)
class Found:
    """A database that is there.

    Attributes:
        name: of it.
        oid: of it.
        comment: whole.
        admits: whether anybody can connect to it.
        limit: of connections.
    """

    name: str
    oid: int
    comment: str | None
    admits: bool
    limit: int

    @property
    def mark(self) -> Mark | None:
        return Mark.read(self.comment)


def databases(connection: psycopg.Connection, name: str | None = None) -> list[Found]:
    """The databases of a server, or the one of a name if there is one."""
    rows = connection.execute(
        "SELECT datname, oid, pg_catalog.shobj_description(oid, 'pg_database'), datallowconn, datconnlimit"
        " FROM pg_catalog.pg_database WHERE datname = coalesce(%s, datname) ORDER BY 1",
        (name,),
    ).fetchall()
    return [Found(*row) for row in rows]


def put(connection: psycopg.Connection, name: str, mark: Mark, comment: str | None = None) -> None:
    """Marks a database, whatever mark it has.

    Args:
        connection: to any database of the server.
        name: of the database.
        mark: for it.
        comment: what its comment is to say beside that; default: what it says.

    Raises:
        psycopg.Error: the role does not own it.
    """
    if comment is None:
        [found] = databases(connection, name)
        comment = found.comment
    text = sql.Literal(mark.within(comment))
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), text))


@contextlib.contextmanager
def undisturbed(connection: psycopg.Connection, name: str) -> Iterator[None]:
    """While nobody marks a database of this name: who looks and then acts would act on what has been claimed meanwhile."""
    keys = (_LOCK, name)
    connection.execute("SELECT pg_catalog.pg_advisory_lock(%s, pg_catalog.hashtext(%s))", keys)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_catalog.pg_advisory_unlock(%s, pg_catalog.hashtext(%s))", keys)


def claim(connection: psycopg.Connection, name: str, owner: Owner) -> str:
    """Marks a live database as a module's, unless it has that mark already or is not there.

    Args:
        connection: to the maintenance database, in autocommit mode.
        name: of the database.
        owner: the module.

    Returns:
        Why the server does not let it be marked; empty if it is.

    Raises:
        ForeignDatabase: it has another's mark.
        psycopg.Error: the connection broke.
    """
    try:
        with connection.transaction():
            # Of two that find it without a mark, one marks it and the other then sees that.
            connection.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s, pg_catalog.hashtext(%s))", (_LOCK, name))
            found = next(iter(databases(connection, name)), None)
            if found is not None and not is_live(found, owner):
                put(connection, name, Mark.of(owner, LIVE, name))
    except psycopg.errors.InsufficientPrivilege as error:
        return error.diag.message_primary or str(error)
    return ""


def is_live(found: Found, owner: Owner) -> bool:
    """Whether a database has the mark of a module's live one; not if it has none, or was kept by a restore.

    Raises:
        ForeignDatabase: it has another mark.
    """
    mark = found.mark
    if mark is None:
        return False
    if mark.owner == owner and mark.purpose in (LIVE, KEPT):
        return mark.purpose == LIVE  # who undoes a restore by hand gives the kept one its name back
    what = f"belongs to {mark.owner}" if mark.purpose == LIVE else f"is a {mark.purpose} database of {mark.owner}"
    if mark is UNREADABLE:
        what = "belongs to whom a mark says that this version cannot read"
    wanted = Mark.of(owner, LIVE, found.name).within(found.comment)
    statement = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(found.name), sql.Literal(wanted))
    raise ForeignDatabase(
        f"database {found.name} {what}, as its comment says; nothing was done to it",
        hint=f"Give {owner} a databaseName of its own. Only if nobody else uses it and it is to be of this module from now on, as its "
        f"owner: {statement.as_string(None)};",
    )
