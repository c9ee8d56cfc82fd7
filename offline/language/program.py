"""Runs the Pulumi program: in a process of its own, or where the Automation API holds it inline (``--client``)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from offline.engine.events import Events
from offline.engine.language import Ended
from offline.engine.model import Project, UpdateRequest

RUNNER = Path(__file__).with_name("runner.py")
_TOLD_THE_USER = 32


def python_of(root: Path, options: Any) -> str:
    """The interpreter that ``runtime.options.virtualenv`` names, or the one that runs this engine."""
    name = options.get("virtualenv")
    if name:
        found = root / name / "bin" / "python"
        if found.exists():
            return str(found)
    return sys.executable


@dataclass
class _Paths:
    pwd: str
    program: str


def _paths(project: Project) -> _Paths:
    main = (project.root / project.main).resolve()
    return _Paths(str(project.root), str(main))


class LocalProgram:
    """The program as a child process, in a process group of its own so that nothing it started outlives the update."""

    def __init__(self, request: UpdateRequest, events: Events, ended: Ended) -> None:
        self._request, self._events, self._ended = request, events, ended
        self._process = subprocess.Popen(
            [python_of(request.project.root, request.project.runtime_options), "-u", str(RUNNER)],
            cwd=request.project.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        self._threads = [
            threading.Thread(target=self._relay, args=[process.stdout, "info"], daemon=True),
            threading.Thread(target=self._relay, args=[process.stderr, "info#err"], daemon=True),
        ]
        for t in self._threads:
            t.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def connect(self, address: str) -> None:
        request, paths = self._request, _paths(self._request.project)
        settings = {
            "project": request.project.name,
            "stack": request.stack,
            "organization": request.organization,
            "root_directory": str(request.project.root),
            "parallel": request.options.parallel,
            "dry_run": request.dry_run,
            "monitor": address,
            "engine": address,
        }
        line = {
            "pwd": paths.pwd,
            "program": paths.program,
            "config": dict(request.config),
            "secret_keys": sorted(request.secret_keys),
            "settings": settings,
        }
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already, which _watch tells

    def _relay(self, stream: IO[bytes], severity: str) -> None:
        with stream:
            for line in stream:
                if not self._events.muted:
                    self._events.diagnostic(severity, line.decode(errors="replace"))

    def _watch(self) -> None:
        code = self._process.wait()
        for t in self._threads:
            t.join(1)
        if code == 0:
            self._ended(None)
        elif code == _TOLD_THE_USER:
            self._ended("")
        else:
            self._ended(f"an unhandled error occurred: program exited with non-zero exit code: {code}")

    def stop(self, *, patience: float) -> None:
        for sig, seconds in ((None, patience), (signal.SIGINT, 2.0), (signal.SIGKILL, 10.0)):
            if sig is not None:
                self._signal(sig)
            try:
                self._process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self._signal(signal.SIGKILL)  # what the program left behind
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass

    def _signal(self, sig: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, sig)
        except (ProcessLookupError, PermissionError):
            pass


class InlineProgram:
    """A program inside the process that called the engine, behind a ``LanguageRuntime`` service."""

    def __init__(self, request: UpdateRequest, ended: Ended) -> None:
        self._request, self._ended = request, ended
        self._thread: threading.Thread | None = None
        self._call: Any = None

    def connect(self, address: str) -> None:
        import grpc

        from offline.engine.protocol import channel, language_pb2, language_pb2_grpc

        request, paths = self._request, _paths(self._request.project)
        message = language_pb2.RunRequest(
            project=request.project.name,
            stack=request.stack,
            organization=request.organization,
            pwd=paths.pwd,
            program=paths.program,
            args=[address],
            config=dict(request.config),
            configSecretKeys=sorted(request.secret_keys),
            dryRun=request.dry_run,
            parallel=request.options.parallel,
            monitor_address=address,
        )

        def run() -> None:
            with channel(request.options.client) as open_channel:
                self._call = language_pb2_grpc.LanguageRuntimeStub(open_channel).Run.future(message)
                try:
                    response = self._call.result()
                except grpc.FutureCancelledError:
                    self._ended("")
                except grpc.RpcError as e:
                    self._ended(f"the inline program at {request.options.client} is gone: {e.details()}")
                else:
                    error = f"an unhandled error occurred: {response.error}" if response.error else None
                    self._ended("" if response.bail else error)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def stop(self, *, patience: float) -> None:
        if self._thread is None:
            return
        self._thread.join(patience)
        if self._thread.is_alive() and self._call is not None:
            self._call.cancel()
            self._thread.join(2)
