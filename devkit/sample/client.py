"""A small HTTP/1.1 client that keeps connections alive, never retries, and tells exactly how a request was lost."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit


class Lost(Exception):
    """A request without an answer: refused, reset, closed or too late."""


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        status: HTTP status.
        version: value of X-Ledger-Version, empty without.
        body: the parsed JSON, None where it is none.
    """

    status: int
    version: str
    body: object


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, everyone: set[_Connection]) -> None:
        self._everyone = everyone
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._everyone.add(self)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = end + 4 + int(headers.get("content-length", "0"))
        if len(self._buffer) < size:
            return
        content = bytes(self._buffer[end + 4 : size])
        del self._buffer[:size]
        if headers.get("connection", "").lower() == "close":
            self.close()
        if self._waiting and not self._waiting.done():
            try:
                body = json.loads(content)
            except ValueError:
                body = None
            self._waiting.set_result(Answer(int(first.split(" ")[1]), headers.get("x-ledger-version", ""), body))

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._waiting and not self._waiting.done():
            reason = f"{type(exc).__name__}: {exc}" if exc else "the server closed the connection without an answer"
            self._waiting.set_exception(Lost(reason))

    async def request(self, content: bytes) -> Answer:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(content)
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def close(self) -> None:
        self._leave()
        if self._transport:
            self._transport.close()

    def _leave(self) -> None:
        self.usable = False
        self._everyone.discard(self)


class Client:
    """Sends requests to one address over kept-alive connections, the longest unused one first.

    Args:
        url: such as http://ledger:8080 or http://gateway:8080/api/ledger.
        connections: how many to keep; more are opened while all are busy. With 0 every request has its own.
        timeout: seconds for one request, connecting included.
    """

    def __init__(self, url: str, connections: int, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url!r} is not a URL like http://ledger:8080")
        self._host, self._port, self._prefix = parts.hostname, parts.port or 80, parts.path.rstrip("/")
        self._wanted = connections
        self.timeout = timeout
        self._idle: deque[_Connection] = deque()
        self._all: set[_Connection] = set()
        self.opened = 0

    async def send(self, method: str, path: str, body: bytes = b"", headers: str = "") -> Answer:
        """Sends one request.

        Raises:
            Lost: there was no answer.
        """
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{headers}"
        content = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self.timeout):
                connection = self._take() or await self._connect()
                answer = await connection.request(content)
        except TimeoutError:
            if connection:
                connection.close()
            raise Lost("timeout, " + ("no answer" if connection else "no connection")) from None
        except OSError as error:
            raise Lost(f"connect: {type(error).__name__}: {error}") from None
        if not self._wanted:
            connection.close()
        elif connection.usable:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Closes the idle connections."""
        for each in self._idle:
            each.close()
        self._idle.clear()

    def _take(self) -> _Connection | None:
        while self._idle:
            if len(self._all) < self._wanted:
                return None  # open as many as wanted instead of using one for everything
            connection = self._idle.popleft()
            if connection.usable:
                return connection
        return None

    async def _connect(self) -> _Connection:
        self.opened += 1
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(lambda: _Connection(self._all), self._host, self._port)
        return protocol
