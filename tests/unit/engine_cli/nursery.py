"""Runs whole updates in children that it forks and kills: a child has everything imported, so a round takes a fraction of a second.

Reads one JSON object a line: ``{"version": n, "kill_after": seconds or null, "since": "start", "lock" or "write", "expect_no_changes": bool}``;
answers with one: ``{"status": exit code or -9, "seconds": s, "said": text}``. It is killed so long after it
was started, has locked the stack, or has written the state for the first time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import grpc
import pulumi
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc
from pulumi_command import local

# What an update imports on its way, so that the children need not.
from offline.backend.secrets import _key
from offline.cli.main import main

from .conftest import SALT

RESOURCES = 8


def program(version: int) -> Callable[[], None]:
    """A component that stays, and behind it a chain whose names carry the version: created first, the old ones deleted last."""

    def run() -> None:
        stays = local.Command("stays", create="true", update="true", environment={"VERSION": str(version)})
        before: pulumi.Resource = stays
        for i in range(RESOURCES):
            before = local.Command(
                f"v{version}-{i}",
                create="sleep 0.01",
                delete="sleep 0.01",
                opts=pulumi.ResourceOptions(depends_on=before),
            )
        pulumi.export("version", version)
        pulumi.export("hidden", pulumi.Output.secret(f"canary {version}"))

    return run


# What changes when an update has got so far.
SIGNS: Final[dict[str, Callable[[Path], object]]] = {
    "start": lambda state: time.monotonic(),
    "lock": lambda state: set((state / "locks/organization/test/dev").glob("*.json")),
    "write": lambda state: (state / "stacks/test/dev.json").stat().st_ino,
}


def update(version: int, expect_no_changes: bool) -> int:
    server = grpc.server(ThreadPoolExecutor(4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program(version)), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    expecting = ["--expect-no-changes"] if expect_no_changes else []
    return main(["up", "--yes", "--skip-preview", "--stack", "dev", "--client", address, *expecting])


def child(version: int, expect_no_changes: bool, output: Path) -> None:
    """Ends the process, whatever happens: nothing of the parent's may run twice."""
    code = 70
    try:
        with output.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            code = update(version, expect_no_changes)
    finally:
        os._exit(code)


def serve(output: Path) -> None:
    state = Path(os.environ["PULUMI_BACKEND_URL"].removeprefix("file://")) / ".pulumi"
    _key(os.environ["PULUMI_CONFIG_PASSPHRASE"], base64.b64decode(SALT.split(":")[1]))  # derived once
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.monotonic()
        before = {since: sign(state) for since, sign in SIGNS.items()}
        pid = os.fork()
        if pid == 0:
            child(asked["version"], asked["expect_no_changes"], output)
        if asked["kill_after"] is not None:
            while SIGNS[asked["since"]](state) == before[asked["since"]] and not _ended(pid):
                time.sleep(0.001)
            time.sleep(asked["kill_after"])
            os.kill(pid, signal.SIGKILL)  # it has not been waited for, so the id is still its own
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(
            json.dumps({"status": status, "seconds": time.monotonic() - began, "said": output.read_text()}), flush=True
        )


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
