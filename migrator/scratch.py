"""Scratch databases: copies beside a live one, for as long as something works with them.

Nothing is dropped that this project has not made for the same stack and module. That rests on three things:

- The name ends in digits that are chosen anew each time, so it is nobody else's, and CREATE DATABASE refuses one that exists.
- The comment has the owner's mark (`marks`), and only a database with that mark, of that kind and for that live database is dropped,
  and only under such a name: one that was renamed to be kept is kept.
- CREATE DATABASE and COMMENT are two commands, as the first runs in no transaction. So a database is made that admits nobody, not even
  a superuser, with a limit of connections that is a number made of mark and name; one transaction then marks it and lets
  clients in. What was killed in between is known by that number, and has never held anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from migrator import traits
from migrator.database import Target, retried
from migrator.errors import DatabaseCommandFailed, ForeignDatabase, MigratorError
from migrator.isolation import UNWATCHED
from migrator.marks import Found, Mark, databases, is_live, put
from migrator.sessions import Log, connect, conninfo, refusal, unhindered
from migrator.settings import Settings

REHEARSAL, RESTORING, PROOF = "rehearsal", "restoring", "proof"
_DIGITS = 8


def beside(name: str, ending: str) -> str:
    """A database's name with an ending, within PostgreSQL's 63 bytes."""
    return name.encode()[: 63 - len(ending)].decode(errors="ignore") + ending


def name_for(live: str, purpose: str, digits: str) -> str:
    """The name of a scratch database.

    Args:
        live: name of the database that it stands beside.
        purpose: `rehearsal`, `restoring` or `proof`.
        digits: eight hexadecimal ones, chosen by chance.
    """
    return beside(live, f"-{purpose}-{digits}")


@dataclass(frozen=True)
class Scratch:
    """A scratch database.

    Attributes:
        target: its name and server.
        mark: that it has, or is to have.
    """

    target: Target
    mark: Mark

    @classmethod
    def named(cls, name: str, mark: Mark, server: str) -> Scratch:
        """One of a given name.

        Args:
            name: of it.
            mark: of it.
            server: connection string of the maintenance database.

        Raises:
            ForeignDatabase: no scratch database of this mark has such a name.
        """
        if not _is_name(name, mark):
            raise ForeignDatabase(
                f"{name} is no name of a {mark.purpose} database of {mark.database}",
                hint=f"It has to be {name_for(mark.database, mark.purpose, 'x' * _DIGITS)} with eight hexadecimal digits.",
            )
        return cls(Target(name, server), mark)

    @property
    def conninfo(self) -> str:
        return conninfo(self.target.conninfo, dbname=self.target.name)

    def make(self, settings: Settings, log: Log, how: Sequence[sql.Composable] = ()) -> int:
        """Makes it; earlier ones of its mark, which somebody was killed over, are dropped first.

        Args:
            settings: budgets.
            log: where lines for people go.
            how: options of CREATE DATABASE.

        Returns:
            Its OID.

        Raises:
            ForeignDatabase: there is a database of its name.
            MigratorError: an earlier one cannot be dropped.
            psycopg.Error: the server refused.
        """
        name = self.target.name
        with contextlib.closing(unhindered(connect(self.target.conninfo, settings, log))) as connection:
            for each in databases(connection):
                if is_of(each, self.mark):
                    log(f"{each.name} is left of an earlier run")
                    _drop(connection, each, self.mark, self.target.conninfo, settings, log)
                elif each.name == name:
                    raise _foreign(each)
                elif each.name in _as_before(self.mark):
                    log(f"{each.name} has a name that earlier versions gave scratch databases, and no mark: left alone")
            made = sql.SQL("CREATE DATABASE {} ALLOW_CONNECTIONS false CONNECTION LIMIT {} {}").format(
                sql.Identifier(name), sql.Literal(_number(self.mark, name)), sql.SQL(" ").join(how)
            )
            retried(connection, made, time.monotonic() + settings.connect_budget, log)
            with connection.transaction():
                put(connection, name, self.mark)
                opened = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true CONNECTION LIMIT -1")
                connection.execute(opened.format(sql.Identifier(name)))
            log(f"database {name} created")
            return databases(connection, name)[0].oid

    def make_like(self, live: Target, settings: Settings, log: Log) -> list[str] | None:
        """Makes it with a live database's encoding, collation, owner and grants.

        Args:
            live: the database.
            settings: budgets.
            log: where lines for people go.

        Returns:
            What of these it could not be given; None if there is no such database.

        Raises:
            ForeignDatabase: the live one is another's.
            MigratorError: it cannot be made.
        """
        name = self.target.name
        with contextlib.closing(unhindered(connect(live.conninfo, settings, log))) as connection:
            row = connection.execute(
                "SELECT to_jsonb(d), pg_encoding_to_char(d.encoding), pg_has_role(d.datdba, 'USAGE'),"
                " pg_get_userbyid(d.datdba), current_user FROM pg_catalog.pg_database d WHERE datname = %s",
                (live.name,),
            ).fetchone()
            how: list[sql.Composable] = [sql.SQL("TEMPLATE template0")]
            if row is not None:
                is_live(databases(connection, live.name)[0], self.mark.owner)
                if not row[2]:
                    raise DatabaseCommandFailed(
                        f"database {live.name} belongs to {row[3]}, and {row[4]} may not rename it",
                        hint=f'As an administrator: GRANT "{row[3]}" TO "{row[4]}"; or restore as its owner.',
                    )
                how += _alike(row[0], row[1])
            try:
                self.make(settings, log, how)
                if row is None:
                    return None
                # First of all: what its owner owns is restored as his, and who may create there follows from that.
                lacking = traits.copy_owner(connection, live.name, name)
                traits.copy_grants(connection, live.name, name)
            except psycopg.Error as error:
                hint = error.diag.message_hint or ""
                if error.sqlstate == "42501":
                    hint = "The role must be able to create databases: ALTER ROLE … CREATEDB."
                raise DatabaseCommandFailed(
                    f"cannot create database {name}: {error.diag.message_primary or error}",
                    hint=hint,
                    sqlstate=error.sqlstate or "",
                ) from None
        return lacking

    def drop(self, settings: Settings, log: Log, oid: int | None = None) -> bool:
        """Drops it, ending the sessions in it.

        Args:
            settings: budgets.
            log: where lines for people go.
            oid: of the one that `make` has made, where what has worked in it may have changed its comment.

        Returns:
            Whether there was one to drop.

        Raises:
            ForeignDatabase: the database of this name has not this mark.
            MigratorError: the server refused.
        """
        with contextlib.closing(unhindered(connect(self.target.conninfo, settings, log))) as connection:
            found = next(iter(databases(connection, self.target.name)), None)
            if found is None:
                log(f"database {self.target.name} does not exist")
                return False
            if not is_of(found, self.mark) and found.oid != oid:
                raise _foreign(found)
            _drop(connection, found, self.mark, self.target.conninfo, settings, log)
        return True


# https://www.postgresql.org/docs/current/catalog-pg-database.html; none before 15.
_PROVIDERS: dict[str, LiteralString] = {"c": "libc", "i": "icu", "b": "builtin"}


def _alike(facts: Mapping[str, Any], encoding: str) -> list[sql.Composable]:
    """Options of CREATE DATABASE for one that is encoded and sorts as another, of which pg_database says these facts."""
    words: list[sql.Composable] = [
        sql.SQL("ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(encoding, facts["datcollate"], facts["datctype"])
    ]
    # The server's own may be another, which a new database gets unless told.
    provider = _PROVIDERS.get(facts.get("datlocprovider") or "")
    locale = facts.get("datlocale") or facts.get("daticulocale")  # from 17 on, and 15 and 16
    if provider:
        words.append(sql.SQL("LOCALE_PROVIDER " + provider))
    if provider in ("icu", "builtin") and locale:
        words.append(sql.SQL(f"{provider.upper()}_LOCALE {{}}").format(locale))
    if facts.get("daticurules"):
        words.append(sql.SQL("ICU_RULES {}").format(facts["daticurules"]))
    return words


def is_of(found: Found, mark: Mark) -> bool:
    """Whether a database is a scratch database with a mark, or was to become one."""
    begun = not found.admits and found.limit == _number(mark, found.name)
    return _is_name(found.name, mark) and (found.mark == mark or (found.comment is None and begun))


def _is_name(name: str, mark: Mark) -> bool:
    digits = name[-_DIGITS:]
    return re.fullmatch(r"[0-9a-f]{8}", digits) is not None and name == name_for(mark.database, mark.purpose, digits)


def _number(mark: Mark, name: str) -> int:
    """A limit of connections that nobody else sets."""
    return int.from_bytes(hashlib.sha256(f"{mark} {name}".encode()).digest()[:4]) % (2**31 - 1001) + 1000


def _as_before(mark: Mark) -> set[str]:
    """The names without digits that such a database had."""
    short = f"-{hashlib.sha256(f'{mark.database}-{mark.purpose}'.encode()).hexdigest()[:8]}-{mark.purpose}"
    return {beside(mark.database, f"-{mark.purpose}"), mark.database[:44] + short}


def _foreign(found: Found) -> ForeignDatabase:
    whose = f"belongs to {found.mark.owner}" if found.mark else "has no mark that says whose it is"
    return ForeignDatabase(
        f"database {found.name} is there and {whose}; it was left alone",
        hint="Look what is in it. If nobody needs it, drop it or give it another name; then try again.",
    )


def _drop(connection: psycopg.Connection, found: Found, mark: Mark, server: str, settings: Settings, log: Log) -> None:
    """Drops a database if it is, under the server's lock, what it was found to be.

    DROP DATABASE goes by the name: it waits for who renames the database or comments on it, and then drops what has the name.
    So the database is renamed first. That takes the same lock, in a transaction, and what it has locked can be looked at;
    and nobody else knows the new name.
    """
    name, aside = found.name, name_for(mark.database, mark.purpose, secrets.token_hex(_DIGITS // 2))
    try:
        for last in (False, True):
            try:
                if name != aside:
                    with sent_out(found.oid, server, settings, log), connection.transaction():
                        names = sql.Identifier(name), sql.Identifier(aside)
                        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))
                        [now] = databases(connection, aside)
                        if (now.oid, now.mark) != (found.oid, found.mark):
                            raise _foreign(replace(now, name=name))
                        put(connection, aside, mark)  # killed from here on, it is known again
                    name = aside
                # Nobody is in it. FORCE would also end an autovacuum worker, which only a superuser may; without, it is sent away.
                connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
                break
            except psycopg.errors.ObjectInUse:
                if last:
                    raise
                _free(conninfo(server, dbname=name), settings, log)
    except psycopg.errors.InvalidCatalogName:
        return
    except psycopg.Error as error:
        raise DatabaseCommandFailed(
            f"cannot drop scratch database {found.name}: {error.diag.message_primary or error}",
            hint=error.diag.message_hint or error.diag.message_detail or "",
            sqlstate=error.sqlstate or "",
        ) from None
    log(f"database {found.name} dropped")


@contextlib.contextmanager
def sent_out(oid: int, server: str, settings: Settings, log: Log) -> Iterator[set[int]]:
    """Ends, again and again, the sessions in a database; those that have been are given.

    Args:
        oid: of the database.
        server: connection string of the maintenance database.
        settings: budgets.
        log: where lines for people go.
    """
    ended: set[int] = set()
    stop = threading.Event()
    # As patient as any other: a server that has no connection left at this moment has one in the next.
    connection = unhindered(connect(server, settings, log))

    def send() -> None:
        while not stop.is_set():
            with contextlib.suppress(psycopg.Error):
                # One by one: a session of a role that may not be ended must not protect the others.
                rows = connection.execute(
                    "SELECT pid FROM pg_catalog.pg_stat_activity WHERE datid = %s AND pid <> pg_backend_pid()", (oid,)
                ).fetchall()
                for (pid,) in rows:
                    with contextlib.suppress(psycopg.Error):
                        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
                        ended.add(int(pid))
            stop.wait(0.05)

    thread = threading.Thread(target=send, name="send-out", daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()
        connection.close()


# What keeps a database from being dropped although nobody is in it. A subscription is parted from its slot first, which belongs
# to another server and may be what the live database reads from.
_HOLDS = """
SELECT format('ALTER SUBSCRIPTION %1$I DISABLE', subname), format('ALTER SUBSCRIPTION %1$I SET (slot_name = NONE)', subname),
    format('DROP SUBSCRIPTION %1$I', subname)
FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()
UNION ALL SELECT format('ROLLBACK PREPARED %L', gid), '', ''
FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()
"""


def _free(where: str, settings: Settings, log: Log) -> None:
    with (
        contextlib.suppress(MigratorError, psycopg.Error),  # the server says once more what is in the way
        contextlib.closing(unhindered(connect(where, settings, log))) as connection,
    ):
        for statement in UNWATCHED:
            refusal(connection, statement.encode())
        for statements in connection.execute(_HOLDS).fetchall():
            for statement in filter(None, statements):
                if why := refusal(connection, statement.encode()):
                    log(f"{statement}: {why}")
