"""A Kubernetes API of a few objects, to ask with the real client: what is read is then decoded as in earnest."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Answer = tuple[int, str, str]  # status, type of the content, content


class Api(ThreadingHTTPServer):
    """Gets and lists objects by their label selectors.

    Args:
        kubeconfig: where to write one that leads here.

    Attributes:
        objects: that there are.
        authorizations: of the requests, in order.
        override: answers a request in the API's place, where it answers at all.
    """

    daemon_threads = True

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kubeconfig = kubeconfig
        self.objects: Sequence[Mapping[str, Any]] = []
        self.authorizations: list[str] = []
        self.override: Callable[[], Answer | None] = lambda: None
        self.log_in({"token": "t"})

    def log_in(self, user: Mapping[str, Any]) -> None:
        """Writes the kubeconfig with this user."""
        server = f"http://127.0.0.1:{self.server_port}"
        config = {
            "current-context": "api",
            "clusters": [{"name": "api", "cluster": {"server": server}}],
            "contexts": [{"name": "api", "context": {"cluster": "api", "user": "api"}}],
            "users": [{"name": "api", "user": dict(user)}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def answer(self, target: str) -> Answer:
        """The object, or the list of those that the selector selects."""
        url = urlsplit(target)
        where = url.path.partition("/namespaces/")[2].split("/")[1:]
        found = [o for o in self.objects if o["kind"].lower() + "s" == where[0]]
        if len(where) > 1:
            named = [o for o in found if o["metadata"]["name"] == where[1]]
            if named:
                return 200, "application/json", json.dumps(named[0])
            gone = {"kind": "Status", "code": 404, "reason": "NotFound", "message": f"{where[1]} not found"}
            return 404, "application/json", json.dumps(gone)
        wanted = dict(
            pair.split("=", 1)
            for selector in parse_qs(url.query).get("labelSelector", [])
            for pair in selector.split(",")
        )
        found = [o for o in found if wanted.items() <= o["metadata"].get("labels", {}).items()]
        return 200, "application/json", json.dumps({"kind": "List", "metadata": {}, "items": found})


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers.get("Authorization", ""))
        status, kind, content = self.server.override() or self.server.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content.encode())))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(kubeconfig: Path) -> Iterator[Api]:
    """The API while it is needed."""
    with Api(kubeconfig) as api:
        thread = threading.Thread(target=lambda: api.serve_forever(0.01), daemon=True)
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()
