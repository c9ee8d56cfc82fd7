"""An S3 server of a test's own, which checks signatures as AWS does: versitygw over a folder.

`python -m tests.cluster.s3_server` builds it: that takes minutes, once, and longer than a test may.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from devkit import paths
from devkit.cluster.progress import Progress
from devkit.tools import build

BUCKET = "rollout-backups"


class S3Server:
    """The server, on an address that pods reach; it and its objects are gone at the end.

    Attributes:
        endpoint: its URL.
        access_key: of its only user.
        secret_key: likewise.
        folder: in which the bucket's objects are files.
    """

    def __enter__(self) -> S3Server:
        program = build.build(build.VERSITYGW, Progress()) / "versitygw"
        self._root = Path(tempfile.mkdtemp(prefix="rollout-s3-", dir="/var/tmp"))
        self.folder = self._root / "objects" / BUCKET
        self.folder.mkdir(parents=True)
        (sidecar := self._root / "metadata").mkdir()
        host = paths.postgres().host
        with socket.socket() as free:
            free.bind((host, 0))
            port = free.getsockname()[1]
        self.endpoint, self.access_key, self.secret_key = f"http://{host}:{port}", "backups", secrets.token_hex(16)
        self._process = subprocess.Popen(
            [program, "--port", f"{host}:{port}", "--quiet", "posix", "--sidecar", sidecar, self.folder.parent],
            env={**os.environ, "ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 30
        while True:
            with socket.socket() as client:
                if client.connect_ex((host, port)) == 0:
                    return self
            assert self._process.poll() is None, "versitygw has ended"
            assert time.monotonic() < end, "versitygw does not listen"
            time.sleep(0.1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._root)

    def objects(self) -> list[str]:
        """The names of the objects, from the bucket on."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.folder)) for path in found if ".sgwtmp" not in path.parts)


if __name__ == "__main__":
    build.build(build.VERSITYGW, Progress())
