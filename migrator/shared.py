"""What the databases of a server share: roles, with their memberships and settings, tablespaces, replication, and the databases themselves.

A rehearsal has a database of its own, but no server of its own: a role that the migration makes on the scratch database
is made in earnest, and CREATE ROLE fails when the migration runs for real. So the server is looked at before and after.
Passwords are not seen; only superusers are shown them. Of values that may be secret there are digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import psycopg
from psycopg import sql

from migrator import marks, traits
from migrator.marks import KEPT, LIVE

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
"""
_SETTINGS = """
SELECT s.setrole::text, one, s.setdatabase::text FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) one
"""
# All that pg_database says of one but what changes by itself; names in the place of OIDs.
_DATABASES = """
SELECT d.oid::text, d.datname, to_jsonb(d) - '{oid,datname,datdba,dattablespace,datfrozenxid,datminmxid,datlastsysoid}'::text[]
    || jsonb_build_object('owner', pg_get_userbyid(d.datdba), 'tablespace', t.spcname, 'security labels', (
        SELECT jsonb_object_agg(provider, label) FROM pg_catalog.pg_shseclabel
        WHERE classoid = 'pg_database'::regclass AND objoid = d.oid)),
    pg_has_role(d.datdba, 'USAGE')
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
"""
_OTHERS = """
SELECT 'replication slot ' || slot_name, slot_type, database FROM pg_catalog.pg_replication_slots WHERE NOT temporary
    AND (SELECT rolsuper OR rolreplication FROM pg_catalog.pg_roles WHERE rolname = current_user)
UNION ALL SELECT 'tablespace ' || spcname, concat_ws(' ', pg_get_userbyid(spcowner), spcacl::text, spcoptions::text), NULL
    FROM pg_catalog.pg_tablespace
"""
# What only a superuser changes, or is shown.
_SUPERUSER_S = """
SELECT 'replication origin ' || roname, '' FROM pg_catalog.pg_replication_origin
UNION ALL SELECT 'server setting ' || name || ' (ALTER SYSTEM)', coalesce(setting, '') FROM pg_catalog.pg_file_settings
    WHERE sourcefile LIKE '%/postgresql.auto.conf' AND name IS NOT NULL
UNION ALL SELECT 'privileges on parameter ' || parname, paracl::text FROM pg_catalog.pg_parameter_acl
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


_NOT_SHOWN = ("comment", "mark", "security labels")


@dataclass(frozen=True)
class Server:
    """A server at one moment.

    Attributes:
        roles: names by OID.
        facts: by a role's OID, what it is and has, each with the OID of another role that it is about, and a digest of what is not
            shown; 0 is everybody.
        databases: names by OID of those that the role may drop, without those with the mark of this project, which come and go.
        traits: by the OID of a database that the role may alter, its name and what else the server says of it.
        others: what else there is, such as replication slots, each with a digest.
    """

    roles: Mapping[str, str]
    facts: Mapping[str, list[list[str]]]
    databases: Mapping[str, str]
    traits: Mapping[str, Mapping[str, str]]
    others: Mapping[str, str]

    @classmethod
    def take(cls, connection: psycopg.Connection, real: str) -> Server:
        """Looks at the server of a connection.

        Args:
            connection: to any database of it.
            real: name of the database whose settings are looked at whether or not the role may alter it.
        """
        roles = connection.execute("SELECT oid::text, rolname FROM pg_catalog.pg_roles").fetchall()
        found = {str(each.oid): each for each in marks.databases(connection)}
        scratch = {oid for oid, each in found.items() if each.mark and each.mark.purpose not in (LIVE, KEPT)}
        facts: dict[str, list[list[str]]] = {}
        for role, fact, other in connection.execute(_FACTS).fetchall():
            facts.setdefault(role, []).append([fact, other, ""])
        bases, kept = {}, {}
        for oid, name, words, mine in connection.execute(_DATABASES).fetchall():
            if oid not in found or oid in scratch or not mine:
                continue
            if found[oid].mark is None and found[oid].admits:
                bases[oid] = name
            kept[oid] = {key: "" if value is None else str(value) for key, value in words.items()}
            kept[oid] |= {"name": name, "comment": _digest(marks.without(found[oid].comment))}
            kept[oid] |= {"mark": str(found[oid].mark or ""), "security labels": _digest(str(words["security labels"]))}
        for role, one, database in connection.execute(_SETTINGS).fetchall():
            if database != "0" and (database not in found or (database not in kept and found[database].name != real)):
                continue
            name, _, value = str(one).partition("=")
            where = f" in database {found[database].name}" if database != "0" else ""
            facts.setdefault(role, []).append([traits.shown(name, value) + where, "", _digest(value)])
        copies = {found[oid].name for oid in scratch}
        rows = connection.execute(_OTHERS).fetchall()
        others = {what: _digest(text) for what, text, database in rows if database not in copies}
        if connection.info.parameter_status("is_superuser") == "on":
            others |= {what: _digest(value) for what, value in connection.execute(_SUPERUSER_S).fetchall()}
        return cls(dict(roles), facts, bases, kept, others)

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
    others += [f"database {n} made" for o, n in after.databases.items() if o not in before.databases and n != scratch]
    others += [f"database {n} dropped" for o, n in before.databases.items() if o not in there]
    others += _different(before.others, after.others)
    return Changes(made, tuple(own), (*others, *_altered(before, after), *_databases(before, after)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _different(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    lines = [f"{each} made" for each in sorted(after.keys() - before.keys())]
    lines += [f"{each} dropped" for each in sorted(before.keys() - after.keys())]
    return lines + [f"{each} changed" for each in sorted(before.keys() & after.keys()) if before[each] != after[each]]


def _databases(before: Server, after: Server) -> list[str]:
    lines = []
    for oid in sorted(before.traits.keys() & after.traits.keys(), key=int):
        was, now = before.traits[oid], after.traits[oid]
        words = [
            f"{key} changed" if key in _NOT_SHOWN else f"{key} {now.get(key) or 'none'}, was {was.get(key) or 'none'}"
            for key in sorted({*was, *now})
            if was.get(key, "") != now.get(key, "") and (key != "mark" or was[key])  # others get theirs meanwhile
        ]
        if words:
            lines.append(f"database {was['name']}: {'; '.join(words)}")
    return lines


def _altered(before: Server, after: Server) -> list[str]:
    both = before.roles.keys() & after.roles.keys()
    lines = []
    for role in sorted({*both, "0"}, key=lambda oid: after.roles.get(oid, "")):
        # Memberships in a role that came or went are part of its coming and going.
        was, now = (
            {fact: value for fact, other, value in look.facts.get(role, []) if not other or other in both}
            for look in (before, after)
        )
        words = [f"now {each}" for each in sorted(now.keys() - was.keys())]
        words += [f"no longer {each}" for each in sorted(was.keys() - now.keys())]
        words += [f"{each} changed" for each in sorted(was.keys() & now.keys()) if was[each] != now[each]]
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
