"""Says what is being done, so that nobody takes what lasts for what hangs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from migrator.sessions import Log

_FIRST, _NEXT, _LONGEST = 2.0, 5.0, 30.0  # seconds
_PACE = 1.0  # seconds to a line


@contextlib.contextmanager
def telling(log: Log, what: str, size: Callable[[], int] | None = None, whole: int = 0) -> Iterator[None]:
    """Tells of what is done within, after two seconds and then again and again, ever more seldom.

    Args:
        log: where lines for people go; called from another thread.
        what: is done.
        size: bytes so far.
        whole: bytes in all; 0 where nobody knows.
    """
    begun, ended = time.monotonic(), threading.Event()

    def tell() -> None:
        wait, pause = _FIRST, _NEXT
        while not ended.wait(wait):
            so_far = f"{amount(size())}{f' of {amount(whole)}' if whole else ''}, " if size else ""
            log(f"{what}: {so_far}{time.monotonic() - begun:.0f} s so far")
            wait, pause = pause, min(pause * 1.5, _LONGEST)

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Paced:
    """Passes lines on, at first as they come and then one a second at most: of many the last one that is due.

    A line that has to wait is passed on while it is still the last, so that what hangs can be seen.

    Args:
        log: where lines for people go; called from another thread too.
        burst: lines that are passed on at once, before any has to wait; one more for each second.
    """

    def __init__(self, log: Log, burst: int = 20) -> None:
        self._log = log
        self._burst = burst
        self._left = float(burst)
        self._since = time.monotonic()
        self._waiting: str | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._dropped = 0

    def __call__(self, line: str) -> None:
        """Passes a line on, now or when it is due; a line that is still waiting is dropped for it."""
        with self._changed:
            self._drop()
            self._waiting = line
            self._pass_on()
            if self._waiting is not None and self._thread is None:
                self._thread = threading.Thread(target=self._tell, name="log", daemon=True)
                self._thread.start()

    def forget(self) -> None:
        """Drops the line that waits: what it speaks of is over."""
        with self._changed:
            self._drop()

    def close(self) -> int:
        """Drops it, ends the thread, and gives how many lines were dropped in all."""
        with self._changed:
            self._drop()
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        return self._dropped

    def _drop(self) -> None:
        self._dropped += self._waiting is not None
        self._waiting = None

    def _pass_on(self) -> None:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._since) / _PACE)
        self._since = now
        if self._waiting is not None and self._left >= 1:
            self._left -= 1
            line, self._waiting = self._waiting, None
            self._log(line)

    def _tell(self) -> None:
        with self._changed:
            while not self._ended:
                self._changed.wait(_PACE)
                self._pass_on()


def amount(size: float) -> str:
    """Bytes as people write them."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
