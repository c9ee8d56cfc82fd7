"""Progress on standard error: what is being done, and how long it has taken so far."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Prints one line per finished step, and while a step lasts long, a sign of life.

    Args:
        quiet: print nothing but long waits.
        every: seconds between two signs of life of one step.
    """

    def __init__(self, *, quiet: bool = False, every: float = 15.0) -> None:
        self._started = time.monotonic()
        self._quiet = quiet
        self._every = every
        self._lock = threading.Lock()

    def elapsed(self) -> float:
        """Seconds since this progress began."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Print one line, with the elapsed seconds of the whole in front."""
        if not self._quiet:
            with self._lock:
                print(f"[{self.elapsed():6.1f}s] {text}", file=sys.stderr, flush=True)

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """A step: told with its duration when it ends; while it lasts, told every ``every`` seconds."""
        step = Step(what)
        ended = threading.Event()

        def signs_of_life() -> None:
            while not ended.wait(self._every):
                detail = f" ({step.detail})" if step.detail else ""
                self.say(f"{what}: {step.seconds():.0f} s so far{detail}")

        watcher = threading.Thread(target=signs_of_life, daemon=True)
        watcher.start()
        try:
            yield step
        finally:
            ended.set()
            watcher.join()
        detail = f" ({step.detail})" if step.detail else ""
        self.say(f"{what}: {step.seconds():.1f} s{detail}")


class Step:
    """One step that is under way; ``detail`` may be set at any time and is told with it."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.detail = ""
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started
