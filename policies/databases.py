"""Which database the variables of a container name: by a name of its own, or by a URI."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from .values import UNKNOWN, NotKnown, get

_SERVERS = r"DB|DATABASE|POSTGRES(?:QL|DB)?|PG|MYSQL|MARIADB|MSSQL|SQL|MONGO(?:DB)?|COCKROACH(?:DB)?|TYPEORM|RDS|YUGABYTE|TIMESCALE"
# What a variable is called that holds a database's name: POSTGRES_DATABASE, PGDATABASE, DB_DATABASE, KC_DB_URL_DATABASE.
_NAME = re.compile(
    rf"(?:\w+_)?(?:{_SERVERS})_?(?:URL_)?(?:NAME|DATABASE|DB|DBNAME|DB_NAME|DATABASE_NAME)|DBNAME", re.IGNORECASE
)
# And one that says how to reach it, whatever form that has.
_ADDRESS = re.compile(
    rf"(?:\w+_)?(?:{_SERVERS})_?(?:URL|URI|DSN|CONN|CONNECTION(?:_?(?:STRING|URL|URI))?|CONNSTRING)(?:_\w+)?"
    r"|(?:\w+_)?(?:DATASOURCE_URL|CONNECTIONSTRINGS?__\w+)",
    re.IGNORECASE,
)
# And one that says where its server is, whose database may be the program's own default.
_ACCESS = re.compile(
    rf"(?:\w+_)?(?:{_SERVERS}|DATASOURCE)_?(?:HOST(?:NAME|ADDR|S)?|ADDR(?:ESS)?|SERVER|ENDPOINT|SOCKET|SERVICE(?:FILE|_HOST)?|INSTANCE"
    r")(?:_FILE)?|(?:\w+_)?INSTANCE_CONNECTION_NAME|CLOUD_?SQL_\w+",
    re.IGNORECASE,
)
_OTHERS = re.compile(r"REDIS|CACHE|AMQP|RABBIT|KAFKA|NATS|BLOB|STORAGE|QUEUE|BUS|ELASTIC|SEARCH", re.IGNORECASE)
# A host may differ on purpose: a service behind a connection pooler, its migration directly at the server. So may the scheme,
# which names a driver (postgresql+asyncpg, pgx5). Redis and http have paths too, which say nothing of what is migrated.
_URI = re.compile(
    r"(?:jdbc:|r2dbc:)?(?:postgres(?:ql)?|postgis|pgx\d*|cockroach(?:db)?|redshift|mysqlx?|mysql2|mariadb|trilogy|ecto|mongodb|sqlserver|mssql|clickhouse)"
    r"(?:\+[\w.-]+)?://[^/?#;]*(?:/([^?#;]*))?",
    re.IGNORECASE,
)
# libpq and others take the name from a parameter before they take it from the path.
_PARAMETER = re.compile(r"[?&;](?:dbname|database|databaseName)=([^&;#]+)", re.IGNORECASE)
# A schema is to a migration what a database is: Prisma's ?schema=, JDBC's currentSchema.
_SCHEMA = re.compile(r"[?&;](?:schema|currentSchema|search_path)=([^&;#]+)", re.IGNORECASE)
# libpq's "host=db dbname=api" and .NET's "Host=db;Database=api".
_PAIRS = re.compile(r"(?:^|[\s;'\"])(?:dbname|database|initial catalog)\s?=\s?[\"']?([^\s;'\"]+)", re.IGNORECASE)
_IS_PAIRS = re.compile(
    r"(?:^|[\s;'\"])(?:host|hostaddr|server|data source|user|user id|username|service)\s?=", re.IGNORECASE
)
# Go's MySQL driver: user:password@tcp(db:3306)/api?parseTime=true.
_GO = re.compile(r"[^\s@/]*@(?:tcp|unix)\([^()]*\)/([^?\s]*)")
_LONGEST = 4096  # a longer text is no address
# https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
_VARIABLE = re.compile(r"\$\(([^()\s]+)\)")


def databases(container: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that name a database -> its name, where that comes from, or ``UNKNOWN``.

    Variables in a value are replaced by those before them, as Kubernetes does; one whose text is elsewhere, such as in a
    Secret, stays as it is written. A URI without a name in plain sight is left out.
    """
    found: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for entry in get(container, "env") or ():
        if entry is UNKNOWN:
            continue  # its name neither
        name = str(get(entry, "name"))
        try:
            value, source = get(entry, "value"), get(entry, "valueFrom")
        except NotKnown:
            found[name] = UNKNOWN
            continue
        if value is not None:
            texts[name] = text = _VARIABLE.sub(lambda v: texts.get(v[1], v[0]), str(value))
            database: Any = text if is_name(name) else named_in(text)
        else:
            database = source if is_name(name) else None
        if database:
            found[name] = database
    return found


def is_name(variable: str) -> bool:
    """Whether a variable is called as one that holds the name of a database."""
    return _NAME.fullmatch(variable[:200]) is not None


def is_address(variable: str) -> bool:
    """Whether a variable is called as one that says where a database is."""
    return _ADDRESS.fullmatch(variable[:200]) is not None and _OTHERS.search(variable) is None


def is_access(variable: str) -> bool:
    """Whether a variable is called as one that says where a database's server is."""
    return _ACCESS.fullmatch(variable[:200]) is not None and _OTHERS.search(variable) is None


def in_arguments(container: Mapping[str, Any]) -> set[str]:
    """The databases that a container's command and arguments name."""
    found: set[str] = set()
    for key in ("command", "args"):
        words = []
        for n in range(len(get(container, key) or ())):
            try:
                words.append(str(get(container, key, n)))
            except NotKnown:
                continue
        found |= in_words([part for word in words for part in (word, *word.split())])
    return found


def in_words(words: Sequence[str]) -> set[str]:
    """The databases that a command names: by an address, or by a flag or a variable that is called so."""
    found: set[str | None] = set()
    for n, word in enumerate(words):
        flag, equals, value = word[:_LONGEST].partition("=")
        value = value.strip("\"'")
        found |= {named_in(word), named_in(value)}
        if flag.startswith("-"):
            after = value if equals else words[n + 1] if n + 1 < len(words) else ""
            if is_name(flag.lstrip("-").replace("-", "_")) and after and not after.startswith("-"):
                found.add(named_in(after) or after)
        elif equals and is_name(flag):
            found.add(value)
    return {name for name in found if name}


def may_be_one(name: Any, other: Any) -> bool:
    """Whether two of those may be one database: a variable in a name may stand for anything."""
    if isinstance(name, Mapping) or isinstance(other, Mapping):
        return True  # what two Secrets hold may be the same
    return bool(name == other) or any(isinstance(n, str) and ("$" in n or "`" in n) for n in (name, other))


def named_in(text: str) -> str | None:
    """The database that an address names, in any of the forms that drivers have; None where it names none in plain sight."""
    if len(text) > _LONGEST:
        return None
    uri = _URI.match(text)
    if uri is None:
        go = _GO.match(text)
        pairs = None if go or not _IS_PAIRS.search(text) else _PAIRS.search(text)
        return (go or pairs)[1] or None if (go or pairs) else None  # type: ignore[index]
    parameter, schema = _PARAMETER.search(text), _SCHEMA.search(text)
    written = str(parameter[1] if parameter else uri[1] or "").strip("/")
    # A password with a slash in it would be taken for a path, and so would the rest of a list of URIs.
    if "@" in written or "://" in written or not written:
        return None
    apart = schema is not None and schema[1] != "public"
    return unquote(written) + (f" (schema {unquote(schema[1])})" if schema and apart else "")
