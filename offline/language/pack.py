"""A policy pack in a process of its own, hosted by the SDK (``python -m pulumi.policy``)."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress

import yaml

from offline.engine.errors import NotCovered, PolicyError
from offline.engine.model import PolicyPackRef, UpdateRequest

from .program import python_of

_START = 30.0  # seconds for a pack to tell its port


class Pack:
    """See :class:`offline.engine.language.PackHost`."""

    def __init__(self, ref: PolicyPackRef, request: UpdateRequest, engine: str) -> None:
        self._path = ref.path
        manifest = ref.path / "PulumiPolicy.yaml"
        if not manifest.is_file():
            raise PolicyError(f"the policy pack {ref.path} has no PulumiPolicy.yaml")
        runtime = (yaml.safe_load(manifest.read_text()) or {}).get("runtime")
        options = runtime.get("options") or {} if isinstance(runtime, Mapping) else {}
        if (runtime.get("name") if isinstance(runtime, Mapping) else runtime) != "python":
            raise NotCovered(f"the runtime {runtime!r} of the policy pack {ref.path}")
        self._process = subprocess.Popen(
            [python_of(ref.path, options), "-u", "-m", "pulumi.policy", engine, str(ref.path.resolve())],
            cwd=ref.path,
            env={
                **os.environ,
                "PULUMI_PROJECT": request.project.name,
                "PULUMI_STACK": request.stack,
                "PULUMI_ORGANIZATION": request.organization,
                "PULUMI_DRY_RUN": str(request.dry_run).lower(),
                "PULUMI_CONFIG": json.dumps(dict(request.config)),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._words: queue.Queue[str] = queue.Queue()
        self._complaints: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._complain, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._words.put(line.decode(errors="replace").strip())
        self._words.put("")

    def _complain(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._complaints.append(line.decode(errors="replace"))

    def address(self) -> str:
        port = ""
        with suppress(queue.Empty):
            port = self._words.get(timeout=_START)
        if not port.isdigit():
            raise PolicyError(f"the policy pack {self._path} did not start:\n{''.join(self._complaints)}")
        return f"127.0.0.1:{port}"

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
