"""Building from Go modules, against a module proxy of the test's own."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devkit.cluster.errors import BuildError
from devkit.cluster.progress import Progress
from devkit.tools import build


class Refusing(BaseHTTPRequestHandler):
    """Hands out nothing."""

    def do_GET(self) -> None:
        self.send_error(403, "This module version is not available.")

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Go that knows no module yet and is refused each that it asks for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "GOPROXY": f"http://127.0.0.1:{server.server_port}",
        "GOMODCACHE": str(tmp_path / "modules"),
        "GONOSUMDB": "*",
        "GOTOOLCHAIN": "local",
        "ROLLOUT_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("group", [build.PULUMI, build.PULUMI_KUBERNETES, build.GROUPS[0]], ids=lambda g: g.name)
def test_a_module_that_is_refused_is_named_within_seconds_with_what_to_do(group: build.Group, refused: None) -> None:
    began = time.monotonic()
    with pytest.raises(BuildError) as failed:
        build.build(group, Progress(quiet=True))
    assert time.monotonic() - began < 30
    message = str(failed.value)
    first = message.splitlines()[0]
    assert first.startswith(
        f"{group.name} {group.version()} needs modules that the Go module proxy does not hand out: "
    )
    assert "@v" in first
    assert f"name another version in devkit/tools/{group.name}/go.mod" in message
    assert ("put your own `pulumi` on the PATH" in message) == (group is not build.GROUPS[0])
    assert not list(group.directory().iterdir()), "nothing is left that looks finished"


@pytest.mark.parametrize("group", [build.PULUMI, build.PULUMI_KUBERNETES], ids=lambda g: g.name)
def test_every_byte_of_what_is_built_is_fixed(group: build.Group) -> None:
    folder = build.TOOLS / group.name
    done = subprocess.run(
        ["go", "list", "-mod=readonly", "-m", group.module],
        cwd=folder, env={**os.environ, "GOFLAGS": "", "GOWORK": "off", "GOPROXY": "off"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [group.module, group.pinned()]
    assert f"{group.module} {group.pinned()} h1:" in (folder / "go.sum").read_text()
