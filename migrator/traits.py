"""What a database has beside its contents: settings, of its own and of roles in it, owner, grants and a limit of connections.

None of it is in a dump. It is copied from one database to another without going through the session that copies: a setting
such as `default_transaction_read_only` must not hinder what writes it. What the role may not copy is told, a line each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migrator.redaction import redacted
from migrator.sessions import refusal

# Whose values PostgreSQL keeps as lists of quoted names; the one string that another list is would be one name here.
_LISTS = (
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
    "unix_socket_directories",
)
_FOLDED = ("search_path", "temp_tablespaces")  # names of objects: unquoted ones are lower case
# Possessive, and asked only where the one before has ended: PostgreSQL has written the list, but a long one is read once.
_PART = re.compile(r'\s*+(?:"((?:[^"]|"")*+)"\s*+|([^",]++))(?:,|$)')
_SETTINGS = """
SELECT coalesce(r.rolname, ''), one FROM pg_catalog.pg_db_role_setting s
JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole,
unnest(s.setconfig) one WHERE d.datname = %s ORDER BY 1, 2
"""
_GRANTS = """
SELECT a.privilege_type, a.is_grantable, coalesce(r.rolname, '') FROM pg_catalog.pg_database d,
aclexplode(d.datacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE d.datname = %s AND a.grantee <> d.datdba
"""


@dataclass(frozen=True)
class Setting:
    """One setting of a database.

    Attributes:
        role: whose in it; empty for everybody's.
        name: of the parameter.
        value: as the server keeps it.
    """

    role: str
    name: str
    value: str

    def __str__(self) -> str:
        return f"setting {shown(self.name, self.value)}" + (f" of role {self.role}" if self.role else "")

    def statement(self, database: str) -> sql.Composed:
        """What makes it in a database."""
        whose = sql.SQL("ALTER DATABASE {}").format(sql.Identifier(database))
        if self.role:
            names = sql.Identifier(self.role), sql.Identifier(database)
            whose = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(*names)
        values = parts(self.name, self.value) if self.name in _LISTS else [self.value]
        return sql.SQL("{} SET {} TO {}").format(
            whose,
            sql.Identifier(*self.name.split(".")),
            sql.SQL(", ").join(sql.Literal(each) for each in values or [""]),
        )


# Settings whose words are names of schemas, zones, locales and the like. Of all others, one's own (`app.key`) above all, only a
# number or a switch is shown: a secret may stand in any.
_HARMLESS = re.compile(
    "search_path|role|timezone|datestyle|intervalstyle|client_encoding|default_(?:tablespace|table_access_method|text_search_config"
    "|toast_compression|transaction_isolation)|temp_tablespaces|lc_(?:messages|monetary|numeric|time)|bytea_output|xml(?:binary|option)"
    "|client_min_messages|log_(?:min_messages|min_error_statement|statement)|plan_cache_mode|session_replication_role"
    "|synchronous_commit|(?:local|session)_preload_libraries",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    r"-?\d{1,15}(?:\.\d+)?\s?(?:us|ms|s|min|h|d|B|kB|MB|GB|TB)?|on|off|true|false|yes|no|auto", re.IGNORECASE
)


def shown(name: str, value: str) -> str:
    """A setting as it may be printed."""
    harmless = _HARMLESS.fullmatch(name) or ("." not in name and _PLAIN.fullmatch(value))
    return f"{name}={value if harmless else '…'}"


def parts(name: str, value: str) -> list[str]:
    """The names in a list such as search_path's."""
    found, end = [], 0
    while part := _PART.match(value, end):
        quoted, plain = part[1], (part[2] or "").strip()
        found.append(quoted.replace('""', '"') if quoted is not None else plain.lower() if name in _FOLDED else plain)
        end = part.end()
        if end == len(value):
            break
    return found


def settings(connection: psycopg.Connection, database: str) -> list[Setting]:
    """The settings of a database, and of roles in it."""
    rows = connection.execute(_SETTINGS, (database,)).fetchall()
    return [Setting(str(role), *str(one).split("=", 1)) for role, one in rows]


def copy_settings(connection: psycopg.Connection, source: str, target: str) -> list[str]:
    """Gives a database the settings of another.

    Args:
        connection: to a third database of the server, in autocommit mode.
        source: the other.
        target: the database.

    Returns:
        What the server refused, and why.

    Raises:
        psycopg.Error: the connection broke.
    """
    tried = [(str(each), each.statement(target)) for each in settings(connection, source)]
    return [line for what, statement in tried for line in _refused(connection, what, statement)]


def copy_limit(connection: psycopg.Connection, source: str, target: str) -> list[str]:
    """Gives a database the connection limit of another; see `copy_settings`."""
    row = connection.execute("SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = %s", (source,)).fetchone()
    if row is None or row[0] < 0:
        return []
    statement = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(sql.Identifier(target), row[0])
    return _refused(connection, f"connection limit {row[0]}", statement)


def copy_owner(connection: psycopg.Connection, source: str, target: str) -> list[str]:
    """Gives a database that belongs to the role of the connection the owner of another; see `copy_settings`."""
    row = connection.execute(
        "SELECT r.rolname, r.rolname = current_user FROM pg_catalog.pg_database d"
        " JOIN pg_catalog.pg_roles r ON r.oid = d.datdba WHERE d.datname = %s",
        (source,),
    ).fetchone()
    if row is None or row[1]:
        return []
    names = sql.Identifier(target), sql.Identifier(row[0])
    return _refused(connection, f"owner {row[0]}", sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*names))


def copy_grants(connection: psycopg.Connection, source: str, target: str) -> None:
    """Lets those connect to a database, and do more in it, who may in another.

    Raises:
        psycopg.Error: the server refused.
    """
    name = sql.Identifier(target)
    row = connection.execute(
        "SELECT datacl IS NULL FROM pg_catalog.pg_database WHERE datname = %s", (source,)
    ).fetchone()
    if row is None or row[0]:
        return
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    for privilege, grantable, role in connection.execute(_GRANTS, (source,)).fetchall():
        statement = sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            sql.SQL(privilege),
            name,
            sql.Identifier(role) if role else sql.SQL("PUBLIC"),
            sql.SQL(" WITH GRANT OPTION" if grantable else ""),
        )
        connection.execute(statement)


def _refused(connection: psycopg.Connection, what: str, statement: sql.Composed) -> list[str]:
    """Runs a statement; gives what it was for and why the server refused it, nothing if it did not."""
    why = refusal(connection, statement)
    return [f"{what}: {redacted(why, statement.as_string(None))}"] if why else []
