"""Where events go: numbered, stamped, to the display and to ``--event-log``, which is a file or a client's gRPC server."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from offline.engine.errors import EngineError
from offline.engine.model import Event

from .display.text import Display, public


class _File:
    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def send(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Stream:
    """``pulumirpc.Events.StreamEvents`` of the Automation API's server."""

    def __init__(self, address: str) -> None:
        import grpc

        from offline.engine.protocol import events_pb2, events_pb2_grpc

        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)])

        def requests() -> Iterator[Any]:
            while (line := self._lines.get()) is not None:
                yield events_pb2.EventRequest(event=line)

        self._call = events_pb2_grpc.EventsStub(self._channel).StreamEvents.future(requests())

    def send(self, line: str) -> None:
        self._lines.put(line)

    def close(self) -> None:
        self._lines.put(None)
        try:
            self._call.result(timeout=10)
        except Exception:  # the client went away; its loss
            self._call.cancel()
        self._channel.close()


class EventLog:
    """Takes the engine's events from any thread and passes them on in one order.

    Args:
        display: shows them.
        target: "" for none, a file, or ``tcp://host:port``.

    Raises:
        EngineError: the target cannot be written.
    """

    def __init__(self, display: Display, target: str = "") -> None:
        self._display = display
        self._lock = threading.Lock()
        self._sequence = 0
        self._seen: set[str] = set()
        self.trouble = ""  # the first thing that went wrong in telling about the update
        self._sink: _File | _Stream | None = None
        try:
            if target:
                self._sink = _Stream(target.removeprefix("tcp://")) if target.startswith("tcp://") else _File(target)
        except OSError as e:
            raise EngineError(f"cannot write the event log {target}: {e}") from e

    def __call__(self, event: Event) -> None:
        """Never raises: an update does not stop half-way because nobody reads about it any more."""
        with self._lock:
            self._seen.update(event)
            if self._sink is not None:
                stamped = {"sequence": self._sequence, "timestamp": int(time.time()), **public(event)}
                self._try(self._sink.send, json.dumps(stamped, separators=(",", ":"), ensure_ascii=False))
                self._sequence += 1
            self._try(self._display.show, event)

    def _try(self, call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
        except Exception as e:  # a closed pipe, a full disk, an event of an unknown form
            self.trouble = self.trouble or f"events could not be shown or logged: {type(e).__name__}: {e}"

    def close(self) -> None:
        """After the last event: everything is shown and has arrived."""
        if "cancelEvent" not in self._seen:
            self({"cancelEvent": {}})
        self._try(self._display.close)
        if self._sink is not None:
            self._try(self._sink.close)
        if self.trouble:
            print(f"warning: {self.trouble}", file=sys.stderr)
