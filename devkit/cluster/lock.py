"""One `up` or `down` at a time on a machine.

The lock is a listening socket in Linux's abstract namespace: the kernel frees it with the process that holds it, it
leaves no file behind, and whoever waits can ask it for the holder's pid.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from devkit.cluster.errors import BusyError
from devkit.cluster.progress import Progress

NAME = "\0rollout-devkit-cluster"


@contextmanager
def exclusive(progress: Progress, patience: float = 900.0, name: str = NAME) -> Iterator[None]:
    """Hold the lock, after waiting for whoever holds it.

    Args:
        progress: is told who is waited for.
        patience: seconds to wait; the first `up` on a machine builds for many minutes.
        name: the socket's name.

    Raises:
        BusyError: it was not freed in time.
    """
    with socket.socket(socket.AF_UNIX) as lock:
        deadline = time.monotonic() + patience
        told = False
        while True:
            try:
                lock.bind(name)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise BusyError(
                        f"process {holder(name)} has been at work for {patience:.0f} s: wait or end it"
                    ) from None
                if not told:
                    progress.say(f"waiting for process {holder(name)}, which is starting or stopping the cluster")
                    told = True
                time.sleep(0.1)
        lock.listen()
        yield


def holder(name: str = NAME) -> int | None:
    """The pid of the process that holds the lock; None when nobody does."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(1)
        try:
            asking.connect(name)
        except OSError:
            return None
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid: int = struct.unpack("3i", credentials)[0]
        return pid
