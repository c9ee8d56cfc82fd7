"""Locks of a Pulumi file backend: whose they are, and whether their owner still lives."""

from __future__ import annotations

import json
import os
import pwd
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .steps import LockHolder


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
                content = json.loads(path.read_text())
            except (OSError, json.JSONDecodeError):
                continue  # gone, or being written at this moment
            found.append(
                LockHolder(
                    str(content.get("username", "unknown")),
                    str(content.get("hostname", "unknown")),
                    int(content.get("pid", 0)),
                    str(content.get("timestamp", "")),
                    str(path),
                )
            )
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
    """Those of the locks whose owner was a process of this user on this host that no longer lives.

    A lock of another user or host is never called stale: from here it cannot be known.
    """
    user, host = pwd.getpwuid(os.getuid()).pw_name, socket.gethostname()
    return [lock for lock in locks if lock.user == user and lock.host == host and lock.pid > 0 and not _lives(lock)]


def remove(lock: LockHolder) -> bool:
    """Removes one lock, and only if it is still the one that was judged."""
    path = Path(lock.path)
    try:
        content = json.loads(path.read_text())
        if content.get("pid") != lock.pid or str(content.get("timestamp")) != lock.since:
            return False
        path.unlink()
    except (OSError, ValueError):
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
