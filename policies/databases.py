"""Which database the variables of a container name: by a name of its own, or by a URI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from .values import UNKNOWN, NotKnown, get

NAMES = ("POSTGRES_DATABASE", "POSTGRES_DB", "PGDATABASE", "DB_NAME", "DATABASE_NAME", "MYSQL_DATABASE")
# A host may differ on purpose: a service behind a connection pooler, its migration directly at the server. So may the scheme,
# which names a driver (postgresql+asyncpg, pgx5). Redis and http have paths too, which say nothing of what is migrated.
_URI = re.compile(
    r"(?:jdbc:)?(?:postgres(?:ql)?|postgis|pgx\d*|cockroach(?:db)?|redshift|mysqlx?|mysql2|mariadb|trilogy|ecto|mongodb|sqlserver|mssql|clickhouse)"
    r"(?:\+[\w.-]+)?://[^/?#]*(?:/([^?#]*))?",
    re.IGNORECASE,
)
# libpq and others take the name from a parameter before they take it from the path.
_PARAMETER = re.compile(r"[?&;](?:dbname|database|databaseName)=([^&;#]+)", re.IGNORECASE)
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
            database: Any = text if name in NAMES else _in_uri(text)
        else:
            database = source if name in NAMES else None
        if database:
            found[name] = database
    return found


def in_arguments(container: Mapping[str, Any]) -> set[str]:
    """The databases that the URIs in a container's command and arguments name."""
    found = set()
    for key in ("command", "args"):
        for n in range(len(get(container, key) or ())):
            try:
                words = str(get(container, key, n)).split()
            except NotKnown:
                continue
            found |= {_in_uri(text) for word in words for text in (word, word.partition("=")[2])}
    return {name for name in found if name}


def may_be_one(name: Any, other: Any) -> bool:
    """Whether two of those may be one database: a variable in a name may stand for anything."""
    return bool(name == other) or any(isinstance(n, str) and _VARIABLE.search(n) for n in (name, other))


def _in_uri(text: str) -> str | None:
    uri = _URI.match(text)
    if uri is None:
        return None
    parameter = _PARAMETER.search(text)
    written = str(parameter[1] if parameter else uri[1] or "").strip("/")
    # A password with a slash in it would be taken for a path, and so would the rest of a list of URIs.
    return None if "@" in written or "://" in written else unquote(written) or None
