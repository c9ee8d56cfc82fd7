"""The API server as this provider needs it: kubeconfig, one pool of kept-alive connections, errors by their reason.

Written on ``http.client``: a command that changes nothing then starts 0.2 to 0.3 s sooner than with lightkube and its
HTTP library (measured import time), and a watch is one blocking read.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import queue
import select
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml

Object = dict[str, Any]
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
CONNECT_TIMEOUT = 10.0  # seconds
RETRIES = 5  # of a request the server was too busy for
TIMEOUT = 60.0  # seconds for one request; a dry run or an admission webhook may take its 30


class KubeconfigError(Exception):
    """No usable kubeconfig: the cluster counts as unreachable, previews go on without it."""


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


class Kubeconfig:
    """One context of a kubeconfig.

    Args:
        source: path or content; None reads ``KUBECONFIG`` (its files merged), ``~/.kube/config`` or the pod's service account.
        context: name of the context, else the current one.
        cluster: name of the cluster, else the context's.

    Raises:
        KubeconfigError: the text says what is wrong.
    """

    def __init__(self, source: str | Mapping[str, Any] | None, context: str = "", cluster: str = "") -> None:
        self.folder = Path.cwd()
        config = self._load(source)
        self.clusters = {c["name"]: c.get("cluster") or {} for c in config.get("clusters") or []}
        self.contexts = {c["name"]: c.get("context") or {} for c in config.get("contexts") or []}
        users = {u["name"]: u.get("user") or {} for u in config.get("users") or []}
        name = context or config.get("current-context") or ""
        if name not in self.contexts:
            raise KubeconfigError(
                f"context {name!r} does not exist"
                if name
                else "invalid configuration: no configuration has been provided"
            )
        chosen = self.contexts[name]
        self.namespace: str = chosen.get("namespace") or ""
        wanted = cluster or chosen.get("cluster", "")
        if wanted not in self.clusters:
            raise KubeconfigError(f"cluster {wanted!r} does not exist")
        self.cluster: Mapping[str, Any] = self.clusters[wanted]
        self.user: Mapping[str, Any] = users.get(chosen.get("user", ""), {})

    def _load(self, source: str | Mapping[str, Any] | None) -> Mapping[str, Any]:
        if isinstance(source, Mapping):
            return source
        text = source or ""
        if source is None:
            paths = [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p] or [
                Path.home() / ".kube/config"
            ]
            found = [p for p in paths if p.is_file()]
            if not found:
                return self._in_cluster()
            if len(found) > 1:
                from components.kubeconfig import merge

                return merge(found)
            text = str(found[0])
        with contextlib.suppress(OSError, ValueError):  # a whole document is not a path, and may be too long for one
            path = Path(text).expanduser()
            if path.is_file():
                self.folder, text = path.parent, path.read_text()
        try:
            config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as e:
            raise KubeconfigError(f"couldn't get version/kind; yaml parse error: {e}") from e
        if not isinstance(config, Mapping):
            raise KubeconfigError(f"neither a file nor a kubeconfig: {text[:200]!r}")
        return config

    @staticmethod
    def _in_cluster() -> Mapping[str, Any]:
        account = Path("/var/run/secrets/kubernetes.io/serviceaccount")
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not (account / "token").is_file():
            raise KubeconfigError(
                "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
            )
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        return {
            "current-context": "pod",
            "clusters": [
                {"name": "pod", "cluster": {"server": server, "certificate-authority": str(account / "ca.crt")}}
            ],
            "contexts": [
                {
                    "name": "pod",
                    "context": {"cluster": "pod", "user": "pod", "namespace": (account / "namespace").read_text()},
                }
            ],
            "users": [{"name": "pod", "user": {"tokenFile": str(account / "token")}}],
        }

    def ssl_context(self) -> ssl.SSLContext:
        ca, file = self.cluster.get("certificate-authority-data"), self.cluster.get("certificate-authority")
        if self.cluster.get("insecure-skip-tls-verify"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        else:
            cadata = base64.b64decode(ca).decode() if ca else None
            context = ssl.create_default_context(cadata=cadata, cafile=self.folder / file if file and not ca else None)
        user = {**self.user, **self._exec_credential()} if "exec" in self.user else self.user
        pem = [base64.b64decode(user[k]) for k in ("client-certificate-data", "client-key-data") if user.get(k)]
        if len(pem) == 2:  # the ssl module takes files only
            with tempfile.NamedTemporaryFile() as f:
                f.write(b"\n".join(pem))
                f.flush()
                context.load_cert_chain(f.name)
        elif user.get("client-certificate"):
            context.load_cert_chain(self.folder / user["client-certificate"], self.folder / user["client-key"])
        return context

    def headers(self) -> dict[str, str]:
        user = self.user
        if "exec" in user:
            user = {**user, **self._exec_credential()}
        if path := user.get("tokenFile"):
            return {"Authorization": f"Bearer {(self.folder / path).read_text().strip()}"}
        if token := user.get("token"):
            return {"Authorization": f"Bearer {token}"}
        if "username" in user:
            return {
                "Authorization": "Basic "
                + base64.b64encode(f"{user['username']}:{user.get('password', '')}".encode()).decode()
            }
        return {}

    def _exec_credential(self) -> dict[str, Any]:
        plugin = self.user["exec"]
        env = os.environ | {e["name"]: e["value"] for e in plugin.get("env") or []}
        info = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
        try:
            run = subprocess.run(
                [plugin["command"], *(plugin.get("args") or [])], capture_output=True, text=True, check=True, timeout=TIMEOUT,
                env=env | {"KUBERNETES_EXEC_INFO": json.dumps(info)})  # fmt: skip
            status = json.loads(run.stdout)["status"]
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as e:
            raise KubeconfigError(f"getting credentials: exec: {plugin.get('command')}: {e}") from e
        found = {"token": status.get("token"), "client-certificate": None}
        for ours, theirs in (
            ("client-certificate-data", "clientCertificateData"),
            ("client-key-data", "clientKeyData"),
        ):
            if status.get(theirs):
                found[ours] = base64.b64encode(status[theirs].encode()).decode()
        return {k: v for k, v in found.items() if v}


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


def segment(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")
