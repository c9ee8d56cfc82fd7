"""Pulumi's language host for Python: runs programs and policy packs for the CLI.

The real one is a Go program that comes with the CLI's releases and is no module of the Go registry. This one serves the
same protocol (``LanguageRuntime`` of the SDK's ``language.proto``) as far as ``preview``, ``up``, ``refresh``, ``destroy``
and ``policy`` need it. It is installed beside the CLI as ``pulumi-language-python``, with its neighbour ``run_program.py``, and
uses nothing but the SDK.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from typing import IO, Any


def _protocol_only() -> None:
    """Lets ``pulumi.runtime.proto`` be imported without ``pulumi`` itself, which takes three times as long: the CLI waits for it."""
    spec = importlib.util.find_spec("pulumi")
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"the Pulumi SDK is not installed for {sys.executable}")
    root = Path(spec.submodule_search_locations[0])
    for name, folder in (("pulumi", root), ("pulumi.runtime", root / "runtime")):
        module = types.ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules[name] = module


_protocol_only()

import grpc  # noqa: E402
from google.protobuf import empty_pb2  # noqa: E402
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2  # noqa: E402

RUN_PROGRAM = Path(__file__).resolve().with_name("run_program.py")
_TOLD_THE_USER = 32  # exit code of run_program.py: the error has been logged, there is nothing to add
_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_SECONDS_TO_END = 5.0


def python_of(root: str, options: Mapping[str, Any]) -> str:
    """The interpreter for a project: of its ``virtualenv`` option, of ``PULUMI_PYTHON_CMD``, or the PATH's, as upstream's host chooses.

    Args:
        root: the project's folder, against which a relative ``virtualenv`` is taken.
        options: ``runtime.options`` of Pulumi.yaml or PulumiPolicy.yaml.
    """
    if virtualenv := options.get("virtualenv"):
        return str(Path(root, str(virtualenv), "bin", "python"))
    named = os.environ.get("PULUMI_PYTHON_CMD")
    return named or shutil.which("python3") or sys.executable


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):  # type: ignore[misc, unused-ignore]
    """Serves the CLI.

    Args:
        engine: address of the engine's own service, which programs log to.
    """

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version="")

    def GetRequiredPackages(self, request: Any, context: grpc.ServicerContext) -> Any:
        """None in advance: the engine loads a provider when the program registers its first resource."""
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(self, request: Any, context: grpc.ServicerContext) -> Any:
        return language_pb2.GetRequiredPluginsResponse()

    def About(self, request: Any, context: grpc.ServicerContext) -> Any:
        python = python_of(request.info.root_directory, dict(request.info.options))
        version = subprocess.run([python, "-V"], capture_output=True, text=True, check=False).stdout
        return language_pb2.AboutResponse(executable=python, version=version.strip().removeprefix("Python "))

    def GetProgramDependencies(self, request: Any, context: grpc.ServicerContext) -> Any:
        python = python_of(request.info.root_directory, dict(request.info.options))
        command = [python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
        if not request.transitiveDependencies:
            command.append("--not-required")
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        if listed.returncode:
            context.abort(grpc.StatusCode.UNKNOWN, listed.stderr)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=each["name"], version=each["version"])
                for each in json.loads(listed.stdout)
            ]
        )

    def InstallDependencies(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Installs requirements.txt, if there is one, into the environment that the project's options name."""
        folder, options = request.directory, dict(request.info.options)
        if virtualenv := options.get("virtualenv"):
            path = Path(folder, str(virtualenv))
            if not path.exists():
                yield from self._stream([sys.executable, "-m", "venv", str(path)], folder, context, _installed)
        if Path(folder, "requirements.txt").exists():
            command = [python_of(folder, options), "-m", "pip", "install", "-r", "requirements.txt"]
            yield from self._stream(command, folder, context, _installed)

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Runs a program to its end; what it prints goes where this process's output goes, which the CLI reads."""
        info = request.info
        given = {
            "pwd": request.pwd,
            "program": str(Path(info.program_directory, info.entry_point)),
            "args": list(request.args),
            "config": dict(request.config),
            "secret_keys": list(request.configSecretKeys),
            "settings": {
                "project": request.project,
                "stack": request.stack,
                "organization": request.organization,
                "root_directory": info.root_directory,
                "parallel": request.parallel,
                "dry_run": request.dryRun,
                "monitor": request.monitor_address,
                "engine": self._engine,
            },
        }
        command = [python_of(info.root_directory, dict(info.options)), "-u", str(RUN_PROGRAM)]
        try:
            process = self._start(command, cwd=request.pwd, stdin=subprocess.PIPE)
        except OSError as error:
            return language_pb2.RunResponse(error=f"{command[0]}: {error.strerror}")
        context.add_callback(
            lambda: self._end(process)
        )  # an update that failed elsewhere does not wait for its program
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already; its exit code says how
            process.stdin.write(json.dumps(given).encode() + b"\n")
            process.stdin.flush()
        code = process.wait()
        self._forget(process)
        if code == _TOLD_THE_USER:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}" if code else "")

    def RunPlugin(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Runs a policy pack, or another plugin written in Python, and hands on what it prints."""
        info = request.info
        python = python_of(info.root_directory, dict(info.options))
        arguments = [*request.args, info.program_directory] if request.kind == "analyzer" else list(request.args)
        if request.kind == "analyzer":
            command = [python, "-u", "-m", "pulumi.policy", *arguments]
        else:
            command = [python, "-u", info.program_directory, *arguments]
        environment = dict(variable.split("=", 1) for variable in request.env if "=" in variable)
        yield from self._stream(command, request.pwd, context, _ran, environment or None)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.end_all()
        return empty_pb2.Empty()

    def end_all(self) -> None:
        """Ends every program and pack that still runs, with what they started."""
        with self._lock:
            children = list(self._children)
        for process in children:
            self._end(process)

    def _start(
        self, command: list[str], cwd: str, env: Mapping[str, str] | None = None, **streams: Any
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, cwd=cwd, env=env, start_new_session=True, **streams)
        with self._lock:
            self._children.add(process)
        return process

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._children.discard(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """SIGINT, as Ctrl-C would, then SIGKILL to the whole session, as a program may have started others."""
        if process.poll() is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_END)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._forget(process)

    def _stream(
        self,
        command: list[str],
        cwd: str,
        context: grpc.ServicerContext,
        response: Any,
        env: Mapping[str, str] | None = None,
    ) -> Iterator[Any]:
        process = self._start(
            command, cwd, env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        context.add_callback(lambda: self._end(process))
        chunks: queue.Queue[tuple[str, bytes]] = queue.Queue()

        def pump(name: str, stream: IO[bytes]) -> None:
            with stream:
                while chunk := os.read(stream.fileno(), 65536):
                    chunks.put((name, chunk))
            chunks.put((name, b""))

        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert stream is not None
            threading.Thread(target=pump, args=(name, stream), daemon=True).start()
        ended = 0
        while ended < 2:
            name, chunk = chunks.get()
            if chunk:
                yield response(**{name: chunk})
            else:
                ended += 1
        code = process.wait()
        self._forget(process)
        yield response(exitcode=code)


def _ran(**output: Any) -> Any:
    return language_pb2.RunPluginResponse(**output)


def _installed(*, exitcode: int = 0, **output: Any) -> Any:
    if exitcode:
        raise RuntimeError(f"installing dependencies ended with exit code {exitcode}")
    return language_pb2.InstallDependenciesResponse(**output)


def main() -> None:
    """Serves until the CLI ends it or is gone: it holds this process's standard input open."""
    address = next((each for each in reversed(sys.argv[1:]) if not each.startswith("-")), "")
    host = LanguageHost(address)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=_NO_LIMIT)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ended = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: ended.set())

    def watch() -> None:
        while os.read(0, 4096):
            pass
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    print(port, flush=True)
    while not ended.wait(3600):
        pass
    host.end_all()
    server.stop(None)
    # Without the interpreter's own end, which would wait for the server's threads.
    os._exit(0)


if __name__ == "__main__":
    main()
