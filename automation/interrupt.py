"""Stopping a run: politely at first, then at once."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Interrupt:
    """Asks a run to stop; shared between whoever may stop it and the run.

    The first `request` lets the engine end cleanly (a running migration Job is left running), the second ends it at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._listeners: list[Callable[[int], None]] = []

    @property
    def requested(self) -> bool:
        return self._count > 0

    @property
    def count(self) -> int:
        return self._count

    def request(self) -> int:
        """Asks for the end, from any thread or a signal handler; returns how often that has been done."""
        self._count += 1
        for listener in list(self._listeners):
            listener(self._count)
        return self._count

    def listen(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Calls `listener` with the count at each request, also for those already made; returns a function that ends that."""
        with self._lock:
            self._listeners.append(listener)
        if self._count:
            listener(self._count)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None
