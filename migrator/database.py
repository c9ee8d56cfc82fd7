"""Creates and drops a module's database: idempotent, and safe when two pods try at once."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator import marks
from migrator.errors import DatabaseCommandFailed, DatabaseUnavailable, ForeignDatabase, InvalidMigration
from migrator.marks import Owner
from migrator.sessions import Log, connect, conninfo, pause, unhindered
from migrator.settings import Settings

MAINTENANCE_DATABASE = "postgres"
_NEVER_DROPPED = {"postgres", "template0", "template1"}
_OF_THE_TARGET = {"host", "port", "user", "password", "dbname"}
# 42P04 is the answer to the later of two; 23505 the same when both were past the first check.
_EXISTS = {"42P04", "23505"}
_TEMPLATE_IN_USE = "55006"
_HAS_TABLE = """
SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LIMIT 1
"""


@dataclass(frozen=True)
class Target:
    """A database and how to reach its server.

    Attributes:
        name: of the database.
        conninfo: connection string of the maintenance database on the same server.
    """

    name: str
    conninfo: str


def target(environment: Mapping[str, str]) -> Target:
    """Reads the target from POSTGRES_DATABASE and POSTGRES_HOST, ... or POSTGRES_URI.

    Args:
        environment: such as os.environ.

    Raises:
        InvalidMigration: variables are missing.
        DatabaseUnavailable: the connection string cannot be parsed.
    """
    uri = environment.get("POSTGRES_NO_DATABASE_URI") or environment.get("POSTGRES_URI", "")
    if environment.get("POSTGRES_HOST"):
        names = {"HOST": "host", "PORT": "port", "USERNAME": "user", "PASSWORD": "password"}
        names |= {"SSLMODE": "sslmode", "SSLROOTCERT": "sslrootcert"}
        variables = {word: environment.get(f"POSTGRES_{name}", "") for name, word in names.items()}
        whole = environment.get("POSTGRES_URI") or uri
        # What stands in the URI as well has the URI's form, which every client of the URI decodes; what stands beside it has not.
        if f"//{variables['user']}:{variables['password']}@" in whole:
            variables |= {word: unquote(variables[word]) for word in ("user", "password")}
        # The URI says more than the variables beside it: certificates, options of the session.
        given = _parameters(whole) | {w: value for w, value in variables.items() if value}
        try:
            server = make_conninfo("", **given)
        except psycopg.Error:
            raise DatabaseUnavailable(
                "POSTGRES_HOST, _PORT, ... make no connection string", hint="Check POSTGRES_PORT and POSTGRES_SSLMODE."
            ) from None
    elif uri:
        server = conninfo(uri)
    else:
        raise InvalidMigration("neither POSTGRES_HOST nor POSTGRES_URI is set", hint="Set one of them.")
    name = environment.get("POSTGRES_DATABASE", "")
    if not name and environment.get("POSTGRES_URI"):
        name = str(conninfo_to_dict(conninfo(environment["POSTGRES_URI"])).get("dbname", ""))
    if not name:
        raise InvalidMigration("POSTGRES_DATABASE is not set", hint="Name the database to create.")
    if len(name.encode()) > 63:
        raise InvalidMigration(f"database name {name!r} is longer than 63 bytes", hint="PostgreSQL would cut it.")
    return Target(name, conninfo(server, dbname=MAINTENANCE_DATABASE))


def _parameters(uri: str) -> dict[str, str]:
    """What a connection string says beside where and who, so far as libpq knows it: drivers of other languages have more.

    Of a URI only its query is looked at: a password that is not encoded would make the rest unreadable.
    """
    known = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()} - _OF_THE_TARGET
    if "://" in uri:
        pairs = (each.partition("=") for each in uri.rpartition("?")[2].split("&") if "?" in uri)
        found = {unquote(name): unquote(value) for name, _, value in pairs}
    else:
        found = {name: str(value) for name, value in conninfo_to_dict(conninfo(uri)).items()}
    return {name: value for name, value in found.items() if name in known and value}


def create(wanted: Target, settings: Settings, log: Log, owner: Owner | None = None) -> bool:
    """Creates the database unless it exists, and marks it as its owner's unless that is done.

    One without a mark, such as an earlier version has made, gets it now.

    Args:
        wanted: the database.
        settings: budgets for the connection.
        log: where lines for people go.
        owner: to whom it is to belong; None to mark nothing.

    Returns:
        Whether this call created it.

    Raises:
        DatabaseUnavailable: no connection.
        ForeignDatabase: it is another's.
        DatabaseCommandFailed: the role may not create databases, or the server refused for another reason.
    """
    deadline = time.monotonic() + settings.connect_budget
    with contextlib.closing(unhindered(connect(wanted.conninfo, settings, log))) as connection:
        created = not marks.databases(connection, wanted.name)
        if created:
            try:
                retried(connection, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(wanted.name)), deadline, log)
            except psycopg.Error as error:
                if error.sqlstate not in _EXISTS:
                    raise refused("create", wanted, error) from None
                created = False
        log(f"database {wanted.name} {'created' if created else 'exists'}")
        if owner:
            _claim(connection, wanted, owner, log)
        return created


def adopt(wanted: Target, settings: Settings, log: Log, owner: Owner) -> None:
    """Marks a database that something else created and migrated as its owner's.

    No migration follows, so a missing or empty database would be served as it is; it is refused.

    Args:
        wanted: the database.
        settings: budgets for the connection.
        log: where lines for people go.
        owner: to whom it is to belong from now on.

    Raises:
        DatabaseUnavailable: no connection.
        ForeignDatabase: it is another's.
        DatabaseCommandFailed: it is not there, or has no table.
    """
    hint = f"Check the server (rollout:postgres) and the name (rollout:modules.{owner.module}.databaseName). "
    hint += f"Without rollout:modules.{owner.module}.adopted the database is created and migrated from the start."
    said = f"database {wanted.name} should have been migrated already (rollout:modules.{owner.module}.adopted), but it"
    with contextlib.closing(unhindered(connect(wanted.conninfo, settings, log))) as connection:
        if not marks.databases(connection, wanted.name):
            raise DatabaseCommandFailed(f"{said} does not exist", hint=hint)
        inside = conninfo(wanted.conninfo, dbname=wanted.name)
        with contextlib.closing(unhindered(connect(inside, settings, log))) as there:
            if not there.execute(_HAS_TABLE).fetchone():
                raise DatabaseCommandFailed(f"{said} has no table", hint=hint)
        log(f"database {wanted.name} exists, and has tables")
        _claim(connection, wanted, owner, log)


def _claim(connection: psycopg.Connection, wanted: Target, owner: Owner, log: Log) -> None:
    if why := marks.claim(connection, wanted.name, owner):
        log(f"it cannot be marked as that of {owner} ({why}), so another stack that uses it too would not be noticed")


def retried(connection: psycopg.Connection, statement: sql.Composed, deadline: float, log: Log) -> None:
    """Creates a database; again and again while another one is being made from the same template.

    Args:
        connection: to the maintenance database.
        statement: CREATE DATABASE.
        deadline: of the monotonic clock.
        log: where lines for people go.

    Raises:
        psycopg.Error: the server refused.
    """
    for attempt in itertools.count():
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            if error.sqlstate != _TEMPLATE_IN_USE or time.monotonic() >= deadline:
                raise
            log("the template database is in use, trying again")
            time.sleep(pause(attempt))
        else:
            return


def drop(wanted: Target, settings: Settings, log: Log, owner: Owner | None = None) -> bool:
    """Drops the database, ending the sessions in it.

    Args:
        wanted: the database.
        settings: budgets for the connection.
        log: where lines for people go.
        owner: whose it must be, if it has a mark; earlier versions have made some without. None: only one without.

    Returns:
        Whether there was one to drop.

    Raises:
        DatabaseUnavailable: no connection.
        ForeignDatabase: it is another's.
        DatabaseCommandFailed: it is one of the server's own, or the server refused.
    """
    if wanted.name in _NEVER_DROPPED:
        raise DatabaseCommandFailed(f"{wanted.name} belongs to the server itself", hint="Check POSTGRES_DATABASE.")
    with (
        contextlib.closing(unhindered(connect(wanted.conninfo, settings, log))) as connection,
        marks.undisturbed(connection, wanted.name),
    ):
        try:
            with connection.transaction(force_rollback=True):
                # Waits for who renames it or comments on it, whom DROP DATABASE would wait for too, and then drop it all the same.
                connection.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(sql.Identifier(wanted.name)))
            for found in marks.databases(connection, wanted.name):
                if found.mark and not (owner and marks.is_live(found, owner)):
                    raise ForeignDatabase(
                        f"database {wanted.name} belongs to {found.mark.owner}, as its comment says; it was not dropped",
                        hint="Set ROLLOUT_STACK and ROLLOUT_MODULE.",
                    )
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(wanted.name)))
        except psycopg.errors.InvalidCatalogName:
            log(f"database {wanted.name} does not exist")
            return False
        except psycopg.Error as error:
            raise refused("drop", wanted, error) from None
    log(f"database {wanted.name} dropped")
    return True


def refused(verb: str, wanted: Target, error: psycopg.Error) -> DatabaseCommandFailed:
    """Why the server did not create or drop a database, with what to do about it."""
    hint = error.diag.message_hint or ""
    if error.sqlstate == "42501":
        user = conninfo_to_dict(wanted.conninfo).get("user", "")
        hint = (
            f'As an administrator: ALTER ROLE "{user}" CREATEDB;' if verb == "create" else "Only its owner may drop it."
        )
    return DatabaseCommandFailed(
        f"cannot {verb} database {wanted.name}: {error.diag.message_primary or ' '.join(str(error).split())}",
        hint=hint,
        sqlstate=error.sqlstate or "",
    )
