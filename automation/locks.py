"""Locks of a Pulumi file backend: whose they are, and whether their owner still lives.

A lock names user, host and process. Two containers may have the same user and host name, and a process has another number in each
namespace, so that a lock whose process is not there may well be of one that lives. Hence a run signs its engine's lock: it writes
down beside the locks in which boot of the machine and in which PID namespace it was taken. Only what was taken here can be known
to be dead; about any other lock a person is asked, as Pulumi does itself.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from components.foreign_text import read

from .steps import LockHolder

_LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class FileBackend:
    """A ``file://`` backend's folder, and a stack in it.

    Args:
        folder: that holds ``.pulumi``.
        project: name.
        stack: name.
    """

    folder: Path
    project: str
    stack: str

    @classmethod
    def of(cls, url: str, project: str, stack: str, cwd: Path) -> FileBackend | None:
        """The backend behind a URL; None if it is of another kind."""
        if not url.startswith("file://"):
            return None
        path = unquote(urlsplit(url)._replace(scheme="", query="").geturl().removeprefix("//"))
        folder = Path(path).expanduser()
        return cls(folder if folder.is_absolute() else cwd / folder, project, stack)

    def locks(self) -> list[LockHolder]:
        """The locks that lie on the stack now."""
        found = []
        for path in sorted(
            (self.folder / ".pulumi" / "locks" / "organization" / self.project / self.stack).glob("*.json")
        ):
            try:
                content = read(path.read_text(errors="replace"))
            except OSError:
                continue  # gone
            if content:  # else it is being written at this moment
                who = content.text("username") or "unknown", content.text("hostname") or "unknown"
                found.append(LockHolder(*who, content.count("pid"), content.text("timestamp"), str(path)))
        return found

    def pending_operations(self) -> list[str] | None:
        """URNs of operations a killed update left open; None if the state is not as expected."""
        path = self.folder / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"
        try:
            latest = json.loads(path.read_bytes())["checkpoint"].get("latest") or {}
        except (OSError, ValueError, KeyError, AttributeError):
            return None
        return [str(each["resource"]["urn"]) for each in latest.get("pending_operations") or []]


def stale(locks: Sequence[LockHolder]) -> list[LockHolder]:
    """Those of the locks that a run signed in this boot and this PID namespace, and whose process no longer lives."""
    return [lock for lock in locks if _is_ours(lock) and _was_taken_here(lock) and not _lives(lock)]


class Signing:
    """Signs the lock that an engine takes, from its start to its end.

    Args:
        backend: where it takes it; None for one whose locks are no files.
    """

    def __init__(self, backend: FileBackend | None) -> None:
        self._backend = backend
        self._before = {lock.path for lock in backend.locks()} if backend else set()
        self._signed: LockHolder | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sign, name="lock", daemon=True)

    def __enter__(self) -> Signing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._signed and not Path(self._signed.path).exists():
            self.forget()

    def forget(self) -> None:
        """Takes the signature back: the lock is gone, or was another's."""
        if self._signed:
            _signature(self._signed).unlink(missing_ok=True)

    def _sign(self) -> None:
        here = _here()
        while self._backend and here and not self._over.wait(_LOOK_SECONDS):
            new = [lock for lock in self._backend.locks() if lock.path not in self._before]
            # Where two try for it, the one that has it is not known yet.
            if len(new) == 1 and _is_ours(new[0]) and _is_descendant(new[0].pid) and _lives(new[0]):
                file = _signature(new[0])
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps({**here, "pid": new[0].pid, "since": new[0].since}))
                self._signed = new[0]
                return


def _is_ours(lock: LockHolder) -> bool:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number that has no name
        return False
    return lock.user == user and lock.host == socket.gethostname() and lock.pid > 0


def _signature(lock: LockHolder) -> Path:
    """Beside the locks and not among them, where the engine takes every file for one."""
    path = Path(lock.path)
    return path.parents[4] / "rollout" / "locks" / path.name


def _here() -> dict[str, str] | None:
    """Which boot of which machine this is, and which PID namespace (Linux); None where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return {"boot": boot, "namespace": str(Path("/proc/self/ns/pid").readlink())}
    except OSError:
        return None


def _was_taken_here(lock: LockHolder) -> bool:
    here = _here()
    try:
        signed = read(_signature(lock).read_text(errors="replace"))
    except OSError:
        return False
    place = {key: signed.text(key) for key in ("boot", "namespace")}
    return place == here and (signed.count("pid"), signed.text("since")) == (lock.pid, lock.since)


def _is_descendant(pid: int) -> bool:
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            return False
        if pid == os.getpid():
            return True
    return False


def remove(lock: LockHolder) -> bool:
    """Removes one lock, and only if it is still the one that was judged."""
    path = Path(lock.path)
    try:
        content = read(path.read_text(errors="replace"))
        if (content.count("pid"), content.text("timestamp")) != (lock.pid, lock.since):
            return False
        path.unlink()
        _signature(lock).unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _lives(lock: LockHolder) -> bool:
    try:
        os.kill(lock.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    begun = _process_start(lock.pid)
    since = _timestamp(lock.since)
    # The number may have been given to another process since: one begun after the lock was taken did not take it.
    return begun is None or since is None or begun <= since + 2


def _process_start(pid: int) -> float | None:
    """When a process began, in seconds since the epoch (Linux); None where that cannot be told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z":
            return time.time() + 60  # a zombie holds nothing
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return None
    return time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _timestamp(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
