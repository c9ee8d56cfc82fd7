"""The gateway's Caddyfile in Caddy itself: what is accepted, and where requests go. No cluster, but the Caddy that is built for one."""

from __future__ import annotations

import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.caddyfile import METRICS_PORT, PORT, caddyfile
from devkit.cluster.progress import Progress
from devkit.tools import build
from settings import GatewaySettings, Route
from settings.gateway import Part
from tests.cluster.stacks import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

# Addresses of the loopback in the place of Services: names that need no DNS.
READ, CONNECTORS = "127.0.0.2", "127.0.0.3"
LISTEN = 18_080
PARTS = (
    Part(CONNECTORS, ("/connectors", "/configs")),
    Part(CONNECTORS, ("/bank-accounts",), ("POST", "PATCH")),
    Part(CONNECTORS, ("/transfer-initiations",), ("POST", "DELETE")),
)
ROUTES = [Route(READ, "/_health", PARTS), *(Route(f"other{n}", "/_healthcheck") for n in range(30))]


@pytest.fixture(scope="module")
def caddy() -> Path:
    return build.build(build.CADDY, Progress()) / "caddy"


@contextmanager
def answering(address: str) -> Iterator[None]:
    """A service that answers with its address and the path that it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = f"{address} {self.path}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer((address, PORT), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture(scope="module")
def gateway(caddy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    text = caddyfile(ROUTES, GatewaySettings(plugins=(), shutdown_seconds=0), grace_seconds=1)
    text = text.replace(f":{PORT} {{\n\t@leave", f":{LISTEN} {{\n\t@leave").replace(f":{METRICS_PORT} {{", ":13080 {")
    folder = tmp_path_factory.mktemp("caddy")
    (folder / "Caddyfile").write_text(text)
    env = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = [str(caddy), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with answering(READ), answering(CONNECTORS), (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{LISTEN}"
            wait_for("Caddy", lambda: is_up(f"{url}/_healthcheck"))
            yield url
        finally:
            process.terminate()
            process.wait(timeout=20)


def is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("GET", "/connectors", CONNECTORS),
        ("POST", "/connectors/webhooks/stripe/x", CONNECTORS),
        ("GET", "/configs/stripe", CONNECTORS),
        ("GET", "/connectorsx", READ),
        ("GET", "/bank-accounts", READ),
        ("POST", "/bank-accounts", CONNECTORS),
        ("PATCH", "/bank-accounts/1/metadata", CONNECTORS),
        ("GET", "/transfer-initiations/1", READ),
        ("DELETE", "/transfer-initiations/1", CONNECTORS),
        ("POST", "/transfer-initiations", CONNECTORS),
        ("POST", "/payments", READ),
        ("GET", "/_info", READ),
    ],
)
def test_a_part_of_a_modules_interface_is_answered_by_its_service(
    gateway: str, method: str, path: str, service: str
) -> None:
    request = urllib.request.Request(
        f"{gateway}/api/{READ}{path}", method=method, data=b"{}" if method != "GET" else None
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.read().decode() == f"{service} {path}"


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    ],
)  # fmt: skip
def test_caddy_takes_what_it_is_told_of_traces(caddy: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "Caddyfile").write_text(caddyfile(ROUTES, GatewaySettings(plugins=()), grace_seconds=1, traces=True))
    command = [str(caddy), "validate", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    env = {"XDG_DATA_HOME": str(tmp_path), "OTEL_TRACES_EXPORTER": "otlp", **variables}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_the_operators_mere_http_is_refused_by_caddy(caddy: Path, tmp_path: Path) -> None:
    """Why the gateway's protocol is not the modules'."""
    (tmp_path / "Caddyfile").write_text(caddyfile(ROUTES, GatewaySettings(plugins=()), grace_seconds=1, traces=True))
    command = [str(caddy), "validate", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    env = {"XDG_DATA_HOME": str(tmp_path), "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http"}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "invalid OTLP protocol" in ended.stderr
