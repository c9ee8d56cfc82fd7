"""The ledger's HTTP interface, as a plain ASGI application."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from devkit.sample.errors import NotFound, Refused, Unavailable
from devkit.sample.store import Store, Transaction
from devkit.sample.versions import Version

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, object]

_LARGEST_BODY = 64 * 1024
_log = logging.getLogger("ledger")


class Ledger:
    """The application.

    Args:
        store: the database; None for a module that has none, and answers nothing but its health and its version.
        version: this program's version.
        stack: name of the stack, told in /_info.
        name: of the module, told there too.

    Attributes:
        draining: set once the process is told to stop: every answer then asks its client to come back on a new
            connection, which the Service leads elsewhere.
    """

    def __init__(self, store: Store | None, version: Version, stack: str = "", name: str = "ledger") -> None:
        self._store = store
        self._name = name
        self._version = version
        self._stack = stack
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        try:
            status, body = await self._route(scope, receive)
        except Refused as error:
            status, body = error.status, {"error": error.code, "message": error.message}
        except Exception:
            _log.exception("%s %s", scope["method"], scope["path"])
            status, body = 500, {"error": "internal", "message": "see the log"}
        if status >= 500:
            _log.warning("%s %s: %s %s", scope["method"], scope["path"], status, body)
        content = json.dumps(body).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"x-ledger-version", self._version.number.encode()),
        ]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _route(self, scope: Scope, receive: Receive) -> Answer:
        method = scope["method"]
        match scope["raw_path"].decode("latin-1").split("?")[0].split("/")[1:]:
            case ["_healthcheck"] if method == "GET":
                return await self._health()
            case ["_info"] if method == "GET":
                return await self._info()
            case ["transactions"] if method == "POST" and self._store:
                return await self._book(self._store, scope, receive)
            case ["transactions", number] if method == "GET" and self._store:
                if not number.isdecimal() or len(number) > 18:
                    raise NotFound("not_found", f"no transaction {number!r}")
                return 200, await self._store.transaction(int(number))
            case ["accounts", account, "balance"] if method == "GET" and self._store:
                name = unquote(account)
                if "\0" in name:
                    raise NotFound("not_found", "no such account")
                return 200, {"account": name, "balance": await self._store.balance(name)}
        raise NotFound("not_found", f"no {method} {scope['path']}")

    async def _health(self) -> Answer:
        try:
            found = await self._store.schema_version() if self._store else self._version.needs
        except Unavailable as error:
            return 503, {"status": "unhealthy", "reason": error.message}
        if found < self._version.needs:
            return 503, {
                "status": "unhealthy",
                "reason": f"the schema is at {found}, {self._version.number} needs {self._version.needs}: run migrate",
            }
        if not self._version.healthy:
            return 503, {"status": "unhealthy", "reason": "the list of exchange rates was never loaded"}
        return 200, {"status": "healthy", "schema_version": found}

    async def _info(self) -> Answer:
        try:
            found = await self._store.schema_version() if self._store else None
        except Unavailable:
            found = None
        return 200, {
            "name": self._name,
            "version": self._version.number,
            "schema_version": found,
            "stack": self._stack,
        }

    async def _book(self, store: Store, scope: Scope, receive: Receive) -> Answer:
        key = next((value for name, value in scope["headers"] if name == b"idempotency-key"), b"").decode("latin-1")
        if not 0 < len(key) <= 200:
            raise Refused("idempotency_key_missing", "send an Idempotency-Key of 1 to 200 characters")
        transaction = Transaction.parse(await _body(receive), self._version)
        number, fresh = await store.book(key, transaction)
        return (201 if fresh else 200), {"id": number, "replayed": not fresh}


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused("disconnected", "the client went away")
        body += message.get("body", b"")
        if len(body) > _LARGEST_BODY:
            raise Refused("too_large", f"a body has at most {_LARGEST_BODY} bytes")
        if not message.get("more_body"):
            return bytes(body)
