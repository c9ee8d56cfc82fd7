"""Says what is being done, so that nobody takes what lasts for what hangs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from migrator.sessions import Log

_FIRST, _NEXT, _LONGEST = 2.0, 5.0, 30.0  # seconds


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


def amount(size: float) -> str:
    """Bytes as people write them."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
