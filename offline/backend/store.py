"""The file backend, laid out as the CLI's ``file://`` backend (``pkg/backend/diy``), so that either can take over.

    .pulumi/meta.yaml                                  the layout's version
    .pulumi/stacks/<project>/<stack>.json[.bak]        the checkpoint, and the one before
    .pulumi/locks/organization/<project>/<stack>/*     one file for whoever is changing the stack
    .pulumi/history/<project>/<stack>/*                what every update did, with the checkpoint after it
    .pulumi/backups/<project>/<stack>/*                a copy of the checkpoint after every update

A file is written beside its place, flushed to the disk and renamed: a reader, or the next run after a kill -9, sees the
old one or the new one. ``*.attrs`` are what the CLI's storage library keeps beside every file.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import os
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from offline.engine.errors import EngineError, NotCovered, StackLocked, StackNotFound, UsageError

from .checkpoint import dumps, wrapped

ATTRS = {
    "user.cache_control": "", "user.content_disposition": "", "user.content_encoding": "", "user.content_language": "",
    "user.content_type": "text/plain; charset=utf-8", "user.metadata": None,
}  # fmt: skip


@dataclass(frozen=True)
class StackRef:
    project: str
    name: str

    @property
    def qualified(self) -> str:
        return f"organization/{self.project}/{self.name}"


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replaces a file as a whole, or not at all; ``durable`` also over a power failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as f:
            f.write(data)
            f.flush()
            if durable:
                os.fdatasync(f.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Replaces a file of the backend, with its attributes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    attrs = ATTRS | {"md5": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()}
    replace_file(path.with_name(path.name + ".attrs"), dumps(attrs).encode(), durable=False)
    replace_file(path, data)


def _keep_as(path: Path, kept: Path) -> None:
    """``kept`` becomes another name of the file that ``path`` is now; replacing ``path`` later leaves it alone."""
    temporary = kept.with_name(f".{kept.name}.{uuid.uuid4().hex}.tmp")
    with suppress(FileNotFoundError):
        try:
            temporary.hardlink_to(path)
        except PermissionError:  # a file system without hard links
            shutil.copyfile(path, temporary)
        temporary.replace(kept)
        temporary.unlink(missing_ok=True)  # renaming does nothing where both are the same file already


class Backend:
    """One state directory.

    Args:
        url: ``file:///absolute``, ``file://./relative`` or ``file://~``.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith("file://"):
            raise NotCovered(f"backend {url}")
        place = url.removeprefix("file://").split("?", 1)[0]
        self.url = url
        self.root = Path(os.path.expanduser(place)).absolute() / ".pulumi"  # noqa: PTH111 (a URL, "~" anywhere in it)
        self._lock_id = str(uuid.uuid4())
        if not self.root.parent.is_dir():
            raise EngineError(f"unable to open bucket {url}: the directory {self.root.parent} does not exist")

    def prepare(self) -> None:
        """Makes the layout, or refuses one of another version."""
        meta = self.root / "meta.yaml"
        if not meta.exists():
            write(meta, b"version: 1\n")
        elif meta.read_text(encoding="utf-8").split() != ["version:", "1"]:
            raise NotCovered(f"a state of another layout than version 1 ({meta})")

    # --- stacks ---------------------------------------------------------------------------------------------------

    def path(self, stack: StackRef) -> Path:
        return self.root / "stacks" / stack.project / f"{stack.name}.json"

    def stacks(self, project: str | None) -> list[StackRef]:
        found = sorted((self.root / "stacks").glob(f"{project or '*'}/*.json"))
        return [StackRef(p.parent.name, p.stem) for p in found]

    def read(self, stack: StackRef) -> dict[str, Any]:
        """The checkpoint file. Raises: StackNotFound"""
        try:
            data: dict[str, Any] = json.loads(self.path(stack).read_bytes())
        except FileNotFoundError:
            raise StackNotFound(f"no stack named '{stack.name}' found") from None
        except json.JSONDecodeError as e:
            raise EngineError(f"{self.path(stack)} is not valid JSON: {e}") from e
        return data

    def write(self, stack: StackRef, checkpoint: bytes) -> None:
        path = self.path(stack)
        bak = path.with_name(path.name + ".bak")
        _keep_as(path, bak)
        _keep_as(path.with_name(path.name + ".attrs"), bak.with_name(bak.name + ".attrs"))
        write(path, checkpoint)

    def create(self, stack: StackRef) -> None:
        self.prepare()
        with self.lock(stack):
            if self.path(stack).exists():
                raise EngineError(f"stack '{stack.name}' already exists")
            never = {"time": "0001-01-01T00:00:00Z", "magic": "", "version": ""}
            self.write(stack, wrapped(stack.qualified, {"manifest": never, "metadata": {}}))

    def remove(self, stack: StackRef, *, backups: bool) -> None:
        path = self.path(stack)
        if backups:
            shutil.rmtree(self._folder("backups", stack), ignore_errors=True)
            _delete(path.with_name(path.name + ".bak"))
        else:
            _keep_as(path, path.with_name(path.name + ".bak"))
        _delete(path)
        _delete(path.with_name(f"{stack.name}.pulumi-tags"))
        shutil.rmtree(self._folder("history", stack), ignore_errors=True)

    def rename(self, old: StackRef, new: StackRef, checkpoint: bytes) -> None:
        """Moves the state and the history; the checkpoint is given with its names already changed."""
        if self.path(new).exists():
            raise EngineError(f"a stack named {new.name} already exists")
        self.write(new, checkpoint)
        for f in self._folder("history", old).glob(f"{old.name}-*"):
            target = self._folder("history", new) / f"{new.name}-{f.name.rsplit('-', 1)[1]}"
            target.parent.mkdir(parents=True, exist_ok=True)
            f.replace(target)
        tags = self.tags(old)
        self.remove(old, backups=False)
        self.set_tags(new, tags)

    def _folder(self, kind: str, stack: StackRef) -> Path:
        return self.root / kind / stack.project / stack.name

    # --- tags -----------------------------------------------------------------------------------------------------

    def tags(self, stack: StackRef) -> dict[str, str]:
        try:
            text = self.path(stack).with_name(f"{stack.name}.pulumi-tags").read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        return dict(json.loads(text).get("tags") or {})

    def set_tags(self, stack: StackRef, tags: Mapping[str, str]) -> None:
        path = self.path(stack).with_name(f"{stack.name}.pulumi-tags")
        if tags:
            write(path, dumps({"version": 1, "tags": tags}).encode())
        else:
            _delete(path)

    # --- history --------------------------------------------------------------------------------------------------

    def add_history(self, stack: StackRef, info: Mapping[str, Any]) -> None:
        prefix = self._folder("history", stack) / f"{stack.name}-{time.time_ns()}"
        write(prefix.with_name(prefix.name + ".history.json"), dumps(info).encode())
        checkpoint = self.path(stack).read_bytes()
        write(prefix.with_name(prefix.name + ".checkpoint.json"), checkpoint)
        write(self._folder("backups", stack) / f"{stack.name}.{time.time_ns()}.json", checkpoint)

    def history(self, stack: StackRef) -> list[dict[str, Any]]:
        """Newest first."""
        files = sorted(self._folder("history", stack).glob("*.history.json"), reverse=True)
        return [json.loads(f.read_bytes()) for f in files]

    # --- locks ----------------------------------------------------------------------------------------------------

    def _locks(self, stack: StackRef) -> Path:
        return self.root / "locks" / "organization" / stack.project / stack.name

    def _refuse_locked(self, stack: StackRef, mine: Path) -> None:
        held = []
        for path in sorted(self._locks(stack).glob("*.json")):
            if path == mine:
                continue
            try:
                lock = json.loads(path.read_bytes())
            except FileNotFoundError:
                continue
            if _is_dead(lock):
                _delete(path)
                print(
                    f"warning: removed the lock of process {lock['pid']} (since {lock['timestamp']}): it ran on this host as this user"
                    " and has ended without releasing it",
                    file=sys.stderr,
                )
                continue
            where = f"{self.url.split('?', 1)[0].rstrip('/')}/{path.relative_to(self.root.parent)}?no_tmp_dir=true"
            stamp = lock["timestamp"].split(".", 1)
            zone = stamp[1].lstrip("0123456789") if len(stamp) > 1 else ""
            zone = "Z" if zone == "+00:00" else zone
            held.append(
                f"\n  {where}: created by {lock['username']}@{lock['hostname']} (pid {lock['pid']}) at {stamp[0]}{zone}"
            )
        if held:
            raise StackLocked(
                f"the stack is currently locked by {len(held)} lock(s). Either wait for the other process(es) to end or "
                "delete the lock file with `pulumi cancel`." + "".join(held)
            )

    @contextmanager
    def lock(self, stack: StackRef) -> Iterator[None]:
        """Holds the stack. Raises: StackLocked, in the CLI's words; a lock whose process is dead is removed with a notice."""
        path = self._locks(stack) / f"{self._lock_id}.json"
        self._refuse_locked(stack, path)
        content = {
            "pid": os.getpid(), "username": getpass.getuser(), "hostname": socket.gethostname(),
            "timestamp": datetime.now().astimezone().isoformat(), **_where(),
        }  # fmt: skip
        write(path, dumps(content).encode())
        try:
            # Two that start at once both see the other's file now, and both step back.
            self._refuse_locked(stack, path)
            self._clear(stack)
            yield
        finally:
            _delete(path)

    def _clear(self, stack: StackRef) -> None:
        """Removes what writes that were killed have left; of locks only what is old, as others may be writing theirs."""
        left = list(self.path(stack).parent.glob(f".{stack.name}.json*.tmp"))
        for kind in ("history", "backups"):
            left += self._folder(kind, stack).glob(".*.tmp")
        old = time.time() - 60
        left += (p for p in self._locks(stack).glob(".*.tmp") if p.stat().st_mtime < old)
        for path in left:
            path.unlink(missing_ok=True)

    def release(self, stack: StackRef) -> None:
        """Gives up this process's own lock before its time."""
        _delete(self._locks(stack) / f"{self._lock_id}.json")

    def cancel(self, stack: StackRef) -> None:
        for path in self._locks(stack).glob("*.json"):
            _delete(path)


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".attrs").unlink(missing_ok=True)


def _where() -> dict[str, str]:
    """What a pid means something within: this boot, this process namespace. Extra fields, which the CLI ignores."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return {"boot": boot, "pidNamespace": str(Path("/proc/self/ns/pid").readlink())}
    return {}


def _is_dead(lock: Mapping[str, Any]) -> bool:
    """Whether the lock's process is certainly gone: same host, same user, same namespace, and no such process.

    A pid that was given to another process since is recognised by that process having started after the lock was made.
    """
    here = _where()
    if lock.get("hostname") != socket.gethostname() or lock.get("username") != getpass.getuser() or not here:
        return False
    if lock.get("boot", here["boot"]) != here["boot"]:
        return True
    if lock.get("pidNamespace", here["pidNamespace"]) != here["pidNamespace"]:
        return False
    try:
        stat = Path(f"/proc/{int(lock['pid'])}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return True
    except (KeyError, ValueError, OSError):
        return False
    status, *rest = stat.rsplit(")", 1)[1].split()
    if status in "ZX":
        return True
    up = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    started = time.time() - up + int(rest[18]) / os.sysconf("SC_CLK_TCK")
    try:
        # Nanoseconds of the CLI's timestamps are more than Python reads.
        text = lock["timestamp"]
        seconds, _, tail = text.partition(".")
        made = datetime.fromisoformat(seconds + (tail.lstrip("0123456789") if tail else "")).timestamp()
    except (KeyError, ValueError):
        return False
    return started > made + 2


def parse_stack(name: str, project: str) -> StackRef:
    """``dev``, ``project/dev`` or ``organization/project/dev``."""
    parts = name.split("/")
    if len(parts) > 3 or not all(parts):
        raise UsageError(f"{name!r} is not a stack name")
    if len(parts) == 3 and parts[0] != "organization":
        raise UsageError("organization name must be 'organization'")
    ref = StackRef(parts[-2] if len(parts) > 1 else project, parts[-1])
    if not all(c.isalnum() or c in "-_." for c in ref.name) or len(ref.name) > 100:
        raise UsageError(
            f"invalid stack name {ref.name!r}: a stack name may only contain alphanumerics, hyphens, underscores, or periods"
        )
    return ref
