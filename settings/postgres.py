"""Where a module's database is, taken from one URI as the Formance operator takes it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

ENCODINGS = ("urlEncoded", "raw")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL server and how to log in.

    Args:
        host: name or address.
        port: TCP port.
        username: None where the credentials are in a Kubernetes Secret.
        password: None likewise. Kept out of ``repr``.
        secret: name of a Secret in the stack's namespace with the keys ``username`` and ``password``.
        parameters: connection parameters such as ``sslmode``, as they go into the URI's query.
        raw: whether the Secret's values are the credentials themselves, and not their form in a URI.
    """

    host: str
    port: int
    username: str | None
    password: str | None
    secret: str | None
    parameters: tuple[tuple[str, str], ...]
    raw: bool = False

    def __repr__(self) -> str:
        login = f"secret {self.secret}" if self.secret else f"user {self.username}"
        return f"PostgresServer({self.host}:{self.port}, {login})"

    @classmethod
    def parse(cls, uri: str, *, needs_password: bool = True) -> PostgresServer:
        """Reads ``postgresql://[user:password@]host[:port][?secret=NAME&sslmode=require&...]``.

        ``disableSSLMode=true`` and ``secretCredentialsEncoding=raw`` are the Formance operator's spelling of ``sslmode=disable``
        and of a Secret whose values are not URL-encoded.

        Raises:
            ValueError: with what is wrong and what to write instead. The URI itself, which may hold a password, is not in it.
        """
        parts = urlsplit(uri)
        if parts.scheme not in ("postgresql", "postgres"):
            raise ValueError("must begin with postgresql://")
        if not parts.hostname:
            raise ValueError("names no host: postgresql://HOST:5432?secret=NAME")
        if parts.path not in ("", "/"):
            raise ValueError("must not name a database: each module gets its own, <stack>-<module>")
        try:
            port = parts.port or 5432
        except ValueError:
            raise ValueError("has a port that is not a number from 1 to 65535") from None
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        secret = query.pop("secret", None)
        if query.pop("disableSSLMode", "false") in ("true", "1"):
            query["sslmode"] = "disable"
        encoding = query.pop("secretCredentialsEncoding", ENCODINGS[0])
        if encoding not in ENCODINGS:
            raise ValueError(f"has secretCredentialsEncoding={encoding!r}; allowed: {', '.join(ENCODINGS)}")
        if encoding == "raw" and not secret:
            raise ValueError("has secretCredentialsEncoding=raw, which is for the credentials of ?secret=")
        query.setdefault("sslmode", "require")
        if query["sslmode"] not in SSL_MODES:
            raise ValueError(f"has sslmode={query['sslmode']!r}; allowed: {', '.join(SSL_MODES)}")
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password is not None else None
        if secret and username:
            raise ValueError("has both a user and ?secret=: give the credentials once")
        if needs_password and not secret and (not username or password is None):
            raise ValueError(
                "has no credentials: add ?secret=NAME of a Kubernetes Secret with the keys username and password, or user:password@ as a Pulumi secret"
            )
        return cls(parts.hostname, port, username, password, secret, tuple(sorted(query.items())), encoding == "raw")

    @property
    def query(self) -> str:
        """The parameters as a query string, without the question mark."""
        # A space as %20: libpq takes the + of forms for itself.
        return urlencode(self.parameters, quote_via=quote)

    def uri(self, database: str) -> str:
        """The whole connection URI, password included.

        Raises:
            ValueError: the credentials are in a Kubernetes Secret and not known here.
        """
        return f"{self.no_database_uri}/{quote(database)}?{self.query}"

    @property
    def no_database_uri(self) -> str:
        """The connection URI up to the database, password included.

        Raises:
            ValueError: the credentials are in a Kubernetes Secret and not known here.
        """
        if self.username is None or self.password is None:
            raise ValueError("the credentials are in a Kubernetes Secret")
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{login}@{host}:{self.port}"
