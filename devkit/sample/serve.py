"""Serves the ledger, and stops without losing a request.

Once a Service has switched, clients that keep connections alive stay on the pods they are connected to; neither the
endpoints nor a preStop hook move them. If such a pod closes its connections when it is told to stop, a request that is
on its way at that moment is lost, and the client cannot know whether it was carried out. So the end is gradual:

1. SIGTERM: go on accepting and serving, and answer every request with `Connection: close`. A client that gets this
   answer has nothing on its way (requests are not pipelined), so closing after it loses nothing; its next request
   opens a new connection, which the Service leads to a new pod.
2. Wait until no connection is left and none was opened for a while: kube-proxy may need a second or two to stop
   sending new ones. Connections that send nothing for the whole of `DRAIN_SECONDS` are then closed idle.
3. Stop listening, finish what runs, exit.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType

import uvicorn

from devkit.sample import loops
from devkit.sample.app import Ledger, Receive, Scope, Send
from devkit.sample.errors import Unavailable
from devkit.sample.store import Store
from devkit.sample.versions import Version

# After the last connection opened during the drain: kube-proxy syncs once a second at most, and a sync takes a while.
_QUIET_SECONDS = 2.0
# What Formance's modules of these kinds have none of either.
WITHOUT_DATABASE = ("wallets", "stargate")
_log = logging.getLogger("ledger")


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        uri: the database; empty for a kind of module that has none.
        name: of the module, told in /_info.
        host: address to listen on; all of them when empty.
        port: port to listen on.
        stack: name of the stack.
        debug: log every request.
        drain_seconds: longest time from SIGTERM to the closing of idle connections.
    """

    uri: str
    name: str = "ledger"
    host: str = ""
    port: int = 8080
    stack: str = ""
    debug: bool = False
    drain_seconds: float = 8.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], kind: str = "ledger") -> Settings:
        """Reads POSTGRES_URI, BIND, STACK, DEBUG and DRAIN_SECONDS.

        Args:
            environment: the variables.
            kind: of module that the sample stands in for.

        Raises:
            ValueError: a variable is missing or wrong; the text names it.
        """
        if not environment.get("POSTGRES_URI") and kind not in WITHOUT_DATABASE:
            raise ValueError("POSTGRES_URI is not set: postgresql://user:password@host:port/database")
        host, _, port = environment.get("BIND", ":8080").rpartition(":")
        if not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"BIND={environment['BIND']!r} is not host:port or :port")
        drain = environment.get("DRAIN_SECONDS", "8")
        if not drain.replace(".", "", 1).isdecimal():
            raise ValueError(f"DRAIN_SECONDS={drain!r} is not a number of seconds")
        debug = environment.get("DEBUG", "").lower() in ("1", "true", "yes")
        uri = environment.get("POSTGRES_URI", "")
        return cls(uri, kind, host, int(port), environment.get("STACK", ""), debug, float(drain))


class _Server(uvicorn.Server):
    """uvicorn, told to stop only when the drain is over."""

    def __init__(self, config: uvicorn.Config, ledger: Ledger, drain_seconds: float) -> None:
        super().__init__(config)
        self._ledger = ledger
        self._drain_seconds = drain_seconds
        self._told: float | None = None
        self._last_seen = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the drain at the first signal; a second one ends it at once."""
        if self._told is not None:
            super().handle_exit(sig, frame)
            return
        self._told = self._last_seen = time.monotonic()
        self._ledger.draining = True
        open_now = len(self.server_state.connections)
        _log.info("%s: draining, %d connections open", signal.Signals(sig).name, open_now)

    async def on_tick(self, counter: int) -> bool:
        """Looks, ten times a second, whether the drain is over."""
        if self._told is not None and not self.should_exit:
            now = time.monotonic()
            if self.server_state.connections:
                self._last_seen = now
            if now - self._last_seen >= _QUIET_SECONDS or now - self._told >= self._drain_seconds:
                idle = len(self.server_state.connections)
                _log.info("drained in %.1f s, %d idle connections closed", now - self._told, idle)
                self.should_exit = True
        return await super().on_tick(counter)


def serve(settings: Settings, version: Version) -> int:
    """Serves until told to stop.

    Args:
        settings: how.
        version: which program to be.

    Returns:
        The exit code.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    return loops.run(_serve(settings, version))


async def _serve(settings: Settings, version: Version) -> int:
    store = Store(settings.uri, version) if settings.uri else None
    ledger = Ledger(store, version, settings.stack, settings.name)

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        await ledger(scope, receive, send)
        _log.info("%s %s %.1f ms", scope["method"], scope["path"], (time.monotonic() - started) * 1000)

    config = uvicorn.Config(
        logged if settings.debug else ledger,
        host=settings.host or "0.0.0.0",
        port=settings.port,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # An idle connection closed at the wrong moment is a lost request: let the clients close theirs first.
        timeout_keep_alive=300,
        timeout_graceful_shutdown=10,
        backlog=4096,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = _Server(config, ledger, settings.drain_seconds)
    if store:
        await store.open()
        if version.exact and (newer := await _newer_schema(store, version)):
            # Formance's ledger starts on no schema that a later version has made, and goes on where one is made under it.
            _log.error("rollback detected, last register version: %d, last available version: %d", newer, version.needs)
            await store.close()
            return 1
    _log.info(
        "%s %s listening on %s:%d, PID %d", settings.name, version.number, settings.host, settings.port, os.getpid()
    )
    gc.freeze()
    try:
        await server.serve()
    finally:
        if store:
            await store.close()
    _log.info("stopped")
    return 0 if server.started else 1


async def _newer_schema(store: Store, version: Version) -> int:
    """The number of a schema that is newer than the version's own, else 0; also where the database does not answer yet."""
    try:
        found = await store.schema_version()
    except Unavailable:
        return 0
    return found if found > version.needs else 0
