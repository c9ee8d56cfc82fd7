"""As much of the NATS protocol as it takes to ask JetStream: one connection, one question after the other.

https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from migrator.errors import BrokerCommandFailed, BrokerUnavailable

_LARGEST = 1024 * 1024


class Nats:
    """A connection to a NATS server.

    Args:
        url: ``nats://[user:password@]host[:port][,host...]``; the first host that answers is used. ``tls://`` asks for TLS.
        timeout: seconds for each answer.

    Raises:
        BrokerUnavailable: no host answers, or the server refuses the connection.
    """

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        self._inbox = f"_INBOX.{secrets.token_hex(8)}"
        problems = []
        for host in hosts.split(","):
            try:
                self._socket = self._connect(host, parts.scheme == "tls", timeout)
                self._greet(unquote(user), unquote(password))
            except (OSError, BrokerUnavailable) as error:
                problems.append(f"{host}: {error}")
                continue
            return
        raise BrokerUnavailable(
            f"the broker does not answer: {'; '.join(problems)}",
            hint="Check rollout:broker.uri, and that the broker runs and lets this namespace in; then run it again.",
        )

    def __enter__(self) -> Nats:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def ask(self, subject: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """Asks JetStream's API and gives its answer.

        Args:
            subject: below ``$JS.API.``, such as ``STREAM.INFO.orders``.
            question: the request.

        Raises:
            BrokerUnavailable: the connection broke, or nobody answers on this subject (JetStream is off).
        """
        body = json.dumps(question).encode()
        try:
            self._socket.sendall(f"PUB $JS.API.{subject} {self._inbox} {len(body)}\r\n".encode() + body + b"\r\n")
            return dict(json.loads(self._message(subject)))
        except (OSError, ValueError) as error:
            raise BrokerUnavailable(
                f"the broker did not answer on $JS.API.{subject}: {error}", hint="Is JetStream enabled?"
            ) from error

    def do(self, subject: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """The same, for what must succeed.

        Raises:
            BrokerCommandFailed: JetStream says no.
        """
        answer = self.ask(subject, question)
        if "error" in answer:
            error = answer["error"]
            raise BrokerCommandFailed(f"{subject}: {error.get('description')} (JetStream {error.get('err_code')})")
        return answer

    def _connect(self, host: str, tls: bool, timeout: float) -> socket.socket:
        name, _, port = host.rpartition(":") if ":" in host else (host, "", "4222")
        connection = socket.create_connection((name, int(port)), timeout)
        self._file = connection.makefile("rb")
        line = self._file.readline(_LARGEST)
        if not line.startswith(b"INFO "):
            raise BrokerUnavailable(f"it is no NATS server: it says {line[:60]!r}")
        info = json.loads(line[5:])
        if tls or info.get("tls_required"):
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=name)
            self._file = connection.makefile("rb")
        return connection

    def _greet(self, user: str, password: str) -> None:
        options: dict[str, Any] = {"verbose": False, "pedantic": False, "name": "rollout", "headers": True}
        options |= {"no_responders": True}
        if user:
            options |= {"user": user, "pass": password} if password else {"auth_token": user}
        hello = f"CONNECT {json.dumps(options)}\r\nSUB {self._inbox} 1\r\nPING\r\n"
        self._socket.sendall(hello.encode())
        while self._line() != b"PONG":
            pass

    def _line(self) -> bytes:
        line = self._file.readline(_LARGEST)
        if not line:
            raise BrokerUnavailable("it closed the connection")
        line = line.rstrip(b"\r\n")
        if line.startswith(b"-ERR"):
            raise BrokerUnavailable(line[5:].decode(errors="replace").strip("'"))
        if line == b"PING":
            self._socket.sendall(b"PONG\r\n")
        return line

    def _message(self, subject: str) -> bytes:
        while True:
            kind, *fields = self._line().split(b" ")
            if kind in (b"MSG", b"HMSG"):
                size = int(fields[-1])
                payload = self._file.read(size + 2)[:size]
                if kind == b"HMSG":
                    # With headers alone the server says that nobody listens there.
                    raise BrokerUnavailable(
                        f"nobody answers on $JS.API.{subject}", hint="JetStream is not enabled on this server."
                    )
                return payload
