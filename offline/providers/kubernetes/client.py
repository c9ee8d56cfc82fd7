"""The API server as this provider needs it: one pool of kept-alive connections, errors by their reason.

Written on ``http.client``: a command that changes nothing then starts 0.2 to 0.3 s sooner than with lightkube and its
HTTP library (measured import time), and a watch is one blocking read.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from .kinds import Object
from .kubeconfig import Kubeconfig, KubeconfigError

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
CONNECT_TIMEOUT = 10.0  # seconds
RETRIES = 5  # of a request the server was too busy for
TIMEOUT = 60.0  # seconds for one request; a dry run or an admission webhook may take its 30


class Unreachable(Exception):
    """The API server did not answer."""


class ApiError(Exception):
    """The API server said no (``metav1.Status``)."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        super().__init__(status.get("message") or f"the server answered {code}")
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.details: Mapping[str, Any] = status.get("details") or {}

    @property
    def not_found(self) -> bool:
        return self.code == 404

    @property
    def already_exists(self) -> bool:
        return self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        return self.code == 409 and not self.already_exists

    @property
    def namespace_missing(self) -> bool:
        return self.not_found and self.details.get("kind") == "namespaces"


class Client:
    """Requests to one API server, from any number of threads.

    Raises: every request raises :class:`ApiError` for an answer that is no success and :class:`Unreachable` for none.
    """

    def __init__(self, kubeconfig: Kubeconfig) -> None:
        self._config = kubeconfig
        parts = urlsplit(kubeconfig.cluster.get("server", ""))
        if not parts.hostname:
            raise KubeconfigError("the cluster has no server address")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._ssl = kubeconfig.ssl_context() if parts.scheme == "https" else None
        self._headers = {
            "Accept": "application/json",
            "User-Agent": "pulumi-kubernetes (offline engine)",
            **kubeconfig.headers(),
        }
        self._idle: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()
        self._watches: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()
        self.closed = False
        self.answered = False  # whether the server ever did

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._ssl)
            if self._ssl
            else http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        )
        connection.timeout, wait = CONNECT_TIMEOUT, timeout
        connection.connect()
        connection.sock.settimeout(wait)
        return connection

    def _take(self) -> http.client.HTTPConnection:
        """A kept-alive connection that the server has not closed (then it would be readable), or a new one."""
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                return self._connect(TIMEOUT)
            if connection.sock and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()

    def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json", **query: Any
    ) -> Object:
        """One request; ``query`` values that are None or empty are left out."""
        target = self._prefix + path
        if query := {k: v for k, v in query.items() if v not in (None, "", False)}:
            target += "?" + urlencode({k: "true" if v is True else v for k, v in query.items()})
        headers = dict(self._headers)
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body, separators=(",", ":")).encode(), content_type
        try:
            for _ in range(RETRIES):
                connection = self._take()
                try:
                    connection.request(method, target, data, headers)
                    response = connection.getresponse()
                    payload = response.read()
                except BaseException:
                    connection.close()
                    raise
                pause = response.headers.get("Retry-After", "")
                if response.status != 429 or not pause.isdigit():
                    break
                time.sleep(int(pause))
        except (OSError, http.client.HTTPException) as e:
            raise Unreachable(f'{method} "{self.url}{path}": {e or type(e).__name__}') from e
        self.answered = True
        if response.will_close or self.closed:
            connection.close()
        else:
            self._idle.put(connection)
        try:
            answer = json.loads(payload) if payload else {}
        except ValueError:
            answer = {"message": payload.decode(errors="replace").strip()}
        if response.status >= 400:
            raise ApiError(response.status, answer if isinstance(answer, dict) else {})
        return answer

    def get(self, path: str, **query: Any) -> Object:
        return self.request("GET", path, **query)

    def items(self, path: str, **query: Any) -> list[Object]:
        """The objects of a collection, in one page. The server leaves kind and apiVersion out of items: they are put back."""
        answer = self.get(path, **query)
        kind, version = str(answer.get("kind", "")).removesuffix("List"), answer.get("apiVersion")
        return [{"apiVersion": version, "kind": kind, **o} for o in answer.get("items") or []]

    def watch(self, path: str, resource_version: str, seconds: int = 300) -> Iterator[Object]:
        """Events of a collection from a resource version on, until the server ends the watch after ``seconds``."""
        try:
            connection = self._connect(seconds + TIMEOUT)
        except OSError as e:
            raise Unreachable(str(e)) from e
        with self._lock:
            self._watches.add(connection)
        try:
            query = urlencode(
                {
                    "watch": 1,
                    "allowWatchBookmarks": "true",
                    "resourceVersion": resource_version,
                    "timeoutSeconds": seconds,
                }
            )
            connection.request("GET", f"{self._prefix}{path}?{query}", None, self._headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise ApiError(response.status, json.loads(response.read() or b"{}"))
            rest = b""
            while chunk := response.read1(1 << 20):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        except (
            OSError,
            http.client.HTTPException,
            ValueError,
            AttributeError,
        ) as e:  # AttributeError: closed by close()
            raise Unreachable(f"watch {path}: {e}") from e
        finally:
            with self._lock:
                self._watches.discard(connection)
            connection.close()

    def close(self) -> None:
        self.closed = True
        with self._lock:
            for connection in self._watches:
                with contextlib.suppress(OSError):
                    if connection.sock:
                        connection.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
        while not self._idle.empty():
            self._idle.get_nowait().close()
