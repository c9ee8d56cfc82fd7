"""What the databases of a server share: roles, with their memberships and settings, tablespaces, and the databases themselves.

A rehearsal has a database of its own, but no server of its own: a role that the migration makes on the scratch database
is made in earnest, and CREATE ROLE fails when the migration runs for real. So the server is looked at before and after.
Passwords are not seen; only superusers are shown them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import psycopg
from psycopg import sql

from migrator import marks

_FACTS = """
SELECT r.oid::text, f.fact, '' FROM pg_catalog.pg_roles r, LATERAL (VALUES
    (CASE WHEN rolsuper THEN 'SUPERUSER' END), (CASE WHEN rolcreaterole THEN 'CREATEROLE' END),
    (CASE WHEN rolcreatedb THEN 'CREATEDB' END), (CASE WHEN rolcanlogin THEN 'LOGIN' END),
    (CASE WHEN rolreplication THEN 'REPLICATION' END), (CASE WHEN rolbypassrls THEN 'BYPASSRLS' END),
    (CASE WHEN NOT rolinherit THEN 'NOINHERIT' END),
    (CASE WHEN rolconnlimit >= 0 THEN 'CONNECTION LIMIT ' || rolconnlimit END),
    ('VALID UNTIL ' || rolvaliduntil)) f (fact) WHERE f.fact IS NOT NULL
UNION SELECT m.member::text, 'member of ' || r.rolname || CASE WHEN m.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END,
    m.roleid::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
UNION SELECT s.setrole::text, one || coalesce(' in database ' || d.datname, ''), ''
    FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) one
    WHERE s.setdatabase = 0 OR d.datname = %s
"""
# In which databases something belongs to a role, or is granted to it.
_USES = """
SELECT u.refobjid::text, bool_or(d.datname = %s) FROM pg_catalog.pg_shdepend u
JOIN pg_catalog.pg_database d ON d.oid = u.dbid WHERE u.refclassid = 'pg_authid'::regclass GROUP BY 1
"""
# Whether the role, or one that it may become, can make, drop and rename roles; and which it has made: from 16 on who makes a
# role administers it, unless it is a superuser.
_MAY = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE (rolsuper OR rolcreaterole) AND pg_has_role(oid, 'MEMBER')),
    ARRAY(SELECT m.roleid::text FROM pg_catalog.pg_auth_members m WHERE m.admin_option AND pg_has_role(m.member, 'MEMBER')
        AND current_setting('server_version_num')::int >= 160000
        AND NOT (SELECT bool_or(rolsuper) FROM pg_catalog.pg_roles WHERE pg_has_role(oid, 'MEMBER')))
"""
_MINE = "SELECT oid FROM pg_catalog.pg_database WHERE pg_has_role(datdba, 'USAGE')"


@dataclass(frozen=True)
class Server:
    """A server at one moment.

    Attributes:
        roles: names by OID.
        facts: by a role's OID, what it is and has, each with the OID of another role that it is about; 0 is everybody.
        tablespaces: names by OID.
        databases: names by OID of those that the role may drop, without those with the mark of this project, which come and go.
    """

    roles: Mapping[str, str]
    facts: Mapping[str, list[list[str]]]
    tablespaces: Mapping[str, str]
    databases: Mapping[str, str]

    @classmethod
    def take(cls, connection: psycopg.Connection, real: str) -> Server:
        """Looks at the server of a connection; of single databases' settings, only the real one's."""
        roles = connection.execute("SELECT oid::text, rolname FROM pg_catalog.pg_roles").fetchall()
        places = connection.execute("SELECT oid::text, spcname FROM pg_catalog.pg_tablespace").fetchall()
        facts: dict[str, list[list[str]]] = {}
        for role, fact, other in connection.execute(_FACTS, (real,)).fetchall():
            facts.setdefault(role, []).append([fact, other])
        mine = {str(oid) for (oid,) in connection.execute(_MINE).fetchall()}
        bases = {str(d.oid): d.name for d in marks.databases(connection) if d.mark is None and d.admits}
        return cls(dict(roles), facts, dict(places), {o: n for o, n in bases.items() if o in mine})

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Server:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Changes:
    """What has become of a server meanwhile.

    Attributes:
        made: new roles that something in the scratch database is of or for, hence made by who worked there; names by OID.
        own: other new roles that were made by the role that worked there, though perhaps elsewhere.
        others: what else is different, a line each: by whom, nothing tells.
    """

    made: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def changes(before: Server, connection: psycopg.Connection, real: str, scratch: str) -> Changes:
    """Compares a server with before.

    Args:
        before: what it was.
        connection: to any database of it, as the role that worked in the scratch database.
        real: name of the database whose settings are looked at.
        scratch: name of the database that tells whose new roles are.
    """
    after = Server.take(connection, real)
    used = {str(role): bool(here) for role, here in connection.execute(_USES, (scratch,)).fetchall()}
    may, by_it = connection.execute(_MAY).fetchone() or (False, [])
    made: dict[str, str] = {}
    own: list[str] = []
    others: list[str] = []
    if may:  # else all of this was done by another
        for oid in sorted({*before.roles, *after.roles}, key=int):
            old, new = before.roles.get(oid), after.roles.get(oid)
            if old and not new:
                others.append(f"role {old} dropped")
            elif old and new != old:
                others.append(f"role {old} renamed to {new}")
            elif new and not old and used.get(oid):
                made[oid] = new
            elif new and not old and oid not in used:  # what is used in other databases alone is another's
                (own if oid in by_it else others).append(f"role {new} made")
    there = {str(each.oid) for each in marks.databases(connection)}
    others += [f"tablespace {n} made" for o, n in after.tablespaces.items() if o not in before.tablespaces]
    others += [f"tablespace {n} dropped" for o, n in before.tablespaces.items() if o not in after.tablespaces]
    others += [f"database {n} made" for o, n in after.databases.items() if o not in before.databases and n != scratch]
    others += [f"database {n} dropped" for o, n in before.databases.items() if o not in there]
    return Changes(made, tuple(own), (*others, *_altered(before, after)))


def _altered(before: Server, after: Server) -> list[str]:
    both = before.roles.keys() & after.roles.keys()
    lines = []
    for role in sorted({*both, "0"}, key=lambda oid: after.roles.get(oid, "")):
        # Memberships in a role that came or went are part of its coming and going.
        was, now = (
            {fact for fact, other in look.facts.get(role, []) if not other or other in both} for look in (before, after)
        )
        words = [f"now {each}" for each in sorted(now - was)] + [f"no longer {each}" for each in sorted(was - now)]
        if words:
            lines.append(f"{'role ' + after.roles[role] if role in both else 'everybody'}: {', '.join(words)}")
    return lines


def take_back(connection: psycopg.Connection, made: Mapping[str, str]) -> dict[str, str]:
    """Drops roles; the server refuses to where anything anywhere still belongs to one, or is granted to it.

    Args:
        connection: in autocommit mode.
        made: names by OID, after what they had in the scratch database has gone with it.

    Returns:
        Why a role is still there, by its name.
    """
    left = {}
    for oid, name in made.items():
        try:
            found = connection.execute(
                "SELECT oid::text FROM pg_catalog.pg_roles WHERE rolname = %s", (name,)
            ).fetchone()
            if found == (oid,):
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
        except psycopg.Error as error:
            left[name] = error.diag.message_primary or " ".join(str(error).split())
    return left
