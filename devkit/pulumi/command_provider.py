"""The ``command`` provider of Pulumi: ``local.Command`` and ``remote.Command`` with the inputs and outputs of pulumi-command 1.2.1.

The real one is a Go program that no registry of modules carries. This one is served by the SDK's own provider server and is
for the devkit alone; it is installed as the plugin ``pulumi-resource-command``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from secrets import token_hex
from typing import Any

import grpc
from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import main as serve
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

LOCAL, REMOTE = "command:local:Command", "command:remote:Command"
_STEPS = ("create", "update", "delete")
_COMMON = (*_STEPS, "environment", "triggers", "stdin", "logging", "addPreviousOutputInEnv")
_INPUTS = {LOCAL: (*_COMMON, "dir", "interpreter"), REMOTE: (*_COMMON, "connection")}
_OUTPUTS = ("stdout", "stderr")
_SECONDS_TO_END = 10.0  # between SIGTERM and SIGKILL after a Ctrl-C

Values = Mapping[str, PropertyValue]


class CommandFailed(Exception):
    """A command that could not be run, or that ended with another exit code than 0; says what it printed."""


class CommandProvider(sdk.Provider):
    """See :class:`pulumi.provider.experimental.provider.Provider`.

    Args:
        log: called with a resource's URN and each line that its command prints, unless it may hold a secret.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._cancelled = asyncio.Event()

    async def get_schema(self, request: sdk.GetSchemaRequest) -> sdk.GetSchemaResponse:
        return sdk.GetSchemaResponse("{}")

    async def check_config(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        return sdk.CheckResponse(request.new_inputs)

    async def diff_config(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        return sdk.DiffResponse(changes=False)

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        return sdk.ConfigureResponse(accept_secrets=True, supports_preview=True, accept_outputs=True)

    async def cancel(self) -> None:
        self._cancelled.set()

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        known = _inputs(request.type)
        unknown = [
            sdk.CheckFailure(name, f"unknown property {name!r}") for name in request.new_inputs if name not in known
        ]
        return sdk.CheckResponse(request.new_inputs, unknown)

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        """Another value of ``triggers`` replaces the resource, any other updates it."""
        found: dict[str, sdk.PropertyDiff] = {}
        for name in _inputs(request.type):
            if name in request.ignore_changes:
                continue
            before, after = request.old_state.get(name), request.new_inputs.get(name)
            if _plain(before) == _plain(after):
                continue
            kind = "ADD" if before is None else "DELETE" if after is None else "UPDATE"
            found[name] = sdk.PropertyDiff(
                sdk.PropertyDiffKind[f"{kind}_REPLACE" if name == "triggers" else kind], input_diff=True
            )
        replaces = [name for name in found if name == "triggers"]
        return sdk.DiffResponse(bool(found), replaces, diffs=list(found), detailed_diff=found)

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        if request.preview:
            return sdk.CreateResponse("", _unknown_outputs(request.properties))
        outputs = await self._run(request, "create", request.properties, {})
        return sdk.CreateResponse(request.name + token_hex(4), outputs)

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        step = "update" if _plain(request.news.get("update")) else "create"
        if not _plain(request.news.get(step)):  # nothing to run: what was printed last stays
            kept = {name: request.olds[name] for name in _OUTPUTS if name in request.olds}
            return sdk.UpdateResponse({**request.news, **kept})
        if request.preview:
            return sdk.UpdateResponse(_unknown_outputs(request.news))
        return sdk.UpdateResponse(await self._run(request, step, request.news, request.olds))

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        return sdk.ReadResponse(request.resource_id, request.properties, request.inputs)

    async def delete(self, request: sdk.DeleteRequest) -> None:
        if _plain(request.properties.get("delete")):
            await self._run(request, "delete", request.properties, request.properties)

    async def _run(self, request: Any, step: str, inputs: Values, previous: Values) -> dict[str, PropertyValue]:
        """Runs one step's command.

        Returns:
            The resource's outputs: its inputs, and what the command printed, which is secret where any input is.
        """
        given = {name: _plain(value) for name, value in inputs.items()}
        command = given.get(step) or ""
        environment = {name: str(value) for name, value in (given.get("environment") or {}).items()}
        if previous and given.get("addPreviousOutputInEnv") is not False:
            environment |= {
                f"PULUMI_COMMAND_{name.upper()}": str(_plain(previous.get(name)) or "") for name in _OUTPUTS
            }
        secret = any(value.contains_secret() for value in inputs.values())
        printed: dict[str, list[str]] = {name: [] for name in (*_OUTPUTS, "both")}
        run = _locally if request.type == LOCAL else _remotely
        logging = given.get("logging") or "stdoutAndStderr"

        async def follow() -> int:
            async for name, line in run(command, given, environment):
                if name == "code":
                    return int(line)
                printed[name].append(line)
                printed["both"].append(line)
                if not secret and logging in ("stdoutAndStderr", name):
                    self._log(request.urn, line.rstrip("\n"))
            return 0

        code = 0
        if command:
            work, cancelled = asyncio.ensure_future(follow()), asyncio.ensure_future(self._cancelled.wait())
            await asyncio.wait({work, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            cancelled.cancel()
            if not work.done():
                work.cancel()  # which ends the command, see the two below
                with suppress(asyncio.CancelledError):
                    await work
                raise CommandFailed(f'interrupted: running "{command}"')
            code = work.result()
        if code:
            how = f"exit status {code}" if code > 0 else f"signal: {signal.Signals(-code).name}"
            raise CommandFailed(f'{how}: running "{command}":\n{"".join(printed["both"])}')
        outputs = {name: PropertyValue("".join(printed[name]).removesuffix("\n"), secret) for name in _OUTPUTS}
        return {**inputs, **outputs}


async def _locally(
    command: str, given: Mapping[str, Any], environment: Mapping[str, str]
) -> AsyncIterator[tuple[str, str]]:
    """Runs a command on this machine; yields what it prints by line, and at last its exit code."""
    interpreter: Sequence[str] = given.get("interpreter") or ["/bin/sh", "-c"]
    try:
        process = await asyncio.create_subprocess_exec(
            *interpreter, command, cwd=given.get("dir"), env={**os.environ, **environment}, start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise CommandFailed(f'fork/exec {interpreter[0]}: {error.strerror}: running "{command}"') from None
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # a command need not read what it is given
            process.stdin.write(str(given.get("stdin") or "").encode())
            process.stdin.write_eof()
        async for each in _lines(stdout=process.stdout, stderr=process.stderr):
            yield each
        yield "code", str(await process.wait())
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _SECONDS_TO_END)
            with suppress(ProcessLookupError):  # what it had started, and does not hear
                os.killpg(process.pid, signal.SIGKILL)


async def _remotely(
    command: str, given: Mapping[str, Any], environment: Mapping[str, str]
) -> AsyncIterator[tuple[str, str]]:
    """Runs a command on another machine by SSH; yields as `_locally` does."""
    import asyncssh  # here, as a program that has no remote command need not wait for it

    exports = "".join(f"export {name}={_quoted(value)}; " for name, value in environment.items())
    connections = []
    try:
        tunnel = None
        wanted = given["connection"]
        for each in (wanted.get("proxy"), wanted):
            if each:
                tunnel = await _connected(asyncssh, each, tunnel)
                connections.append(tunnel)
        assert tunnel is not None
        process = await tunnel.create_process(exports + command, encoding="utf-8", errors="replace")
        process.stdin.write(str(given.get("stdin") or ""))
        process.stdin.write_eof()
        async for each in _lines(stdout=process.stdout, stderr=process.stderr):
            yield each
        await process.wait_closed()
        yield "code", str(-1 if process.exit_status is None else process.exit_status)
    except (asyncssh.Error, OSError) as error:
        raise CommandFailed(f"{given['connection']['host']}: {error}") from None
    finally:
        for connection in reversed(connections):
            connection.abort()


async def _connected(asyncssh: Any, wanted: Mapping[str, Any], tunnel: Any) -> Any:
    """An SSH connection, tried ``dialErrorLimit`` times (default 10; -1: without end)."""
    host, port = str(wanted["host"]), int(wanted.get("port") or 22)
    options: dict[str, Any] = {
        "username": wanted.get("user") or "root",
        "tunnel": tunnel,
        "connect_timeout": float(wanted.get("perDialTimeout") or 15),
        "known_hosts": None,
        "agent_path": wanted.get("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK"),
    }
    if wanted.get("hostKey"):
        options["known_hosts"] = asyncssh.import_known_hosts(f"{_known_host(host, port)} {wanted['hostKey'].strip()}\n")
    if wanted.get("password"):
        options["password"] = wanted["password"]
    if wanted.get("privateKey"):
        options["client_keys"] = [asyncssh.import_private_key(wanted["privateKey"], wanted.get("privateKeyPassword"))]
    limit = int(wanted.get("dialErrorLimit") or 10)
    tried = 0
    while True:
        try:
            return await asyncssh.connect(host, port, **options)
        except OSError:
            tried += 1
            if limit != -1 and tried >= limit:
                raise
            await asyncio.sleep(min(2.0**tried, 15))


def _known_host(host: str, port: int) -> str:
    return host if port == 22 else f"[{host}]:{port}"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


async def _lines(**streams: Any) -> AsyncIterator[tuple[str, str]]:
    """The lines of several streams as they come, with the stream's name."""
    queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def pump(name: str, stream: Any) -> None:
        while line := await stream.readline():
            queue.put_nowait((name, line if isinstance(line, str) else line.decode(errors="replace")))
        queue.put_nowait((name, ""))

    pumps = [asyncio.ensure_future(pump(name, stream)) for name, stream in streams.items()]
    try:
        open_streams = len(pumps)
        while open_streams:
            name, line = await queue.get()
            if line:
                yield name, line
            else:
                open_streams -= 1
    finally:
        for each in pumps:
            each.cancel()


def _inputs(kind: str) -> tuple[str, ...]:
    if kind not in _INPUTS:
        raise NotImplementedError(f"{kind} is not part of the devkit's command provider; it has {LOCAL} and {REMOTE}")
    return _INPUTS[kind]


def _plain(value: PropertyValue | None) -> Any:
    """The value without marks: secrets unwrapped, what is unknown as None, whole numbers as such."""
    inner = value.value if value is not None else None
    if inner == UNKNOWN:
        return None
    if isinstance(inner, Mapping):
        return {name: _plain(each) for name, each in inner.items()}
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return [_plain(each) for each in inner]
    return int(inner) if isinstance(inner, float) and inner.is_integer() else inner


def _unknown_outputs(inputs: Values) -> dict[str, PropertyValue]:
    # The protocol's own word for it, which the SDK's `Computed` (3.272) is neither read from nor written as.
    return {**inputs, **{name: PropertyValue(UNKNOWN) for name in _OUTPUTS}}


class EngineLog:
    """Hands lines to the engine, which shows them beside their resource.

    Args:
        address: of the engine.
    """

    def __init__(self, address: str) -> None:
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def __call__(self, urn: str, line: str) -> None:
        with suppress(grpc.RpcError):  # the engine is about to end
            self._engine.Log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=line, urn=urn, ephemeral=True))


def main() -> None:
    """Serves until the engine ends it or is gone: it holds this process's standard input open."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    address = next((each for each in sys.argv[1:] if not each.startswith("-")), "")
    serve(sys.argv[1:], version("pulumi-command"), CommandProvider(EngineLog(address)))


if __name__ == "__main__":
    main()
