from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from automation import locks
from automation.locks import FileBackend

ME = pwd.getpwuid(os.getuid()).pw_name
HOST = socket.gethostname()


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    found = FileBackend.of(f"file://{tmp_path}", "rollout", "dev", Path("/"))
    assert found is not None
    (tmp_path / ".pulumi/locks/organization/rollout/dev").mkdir(parents=True)
    return found


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def write(backend: FileBackend, pid: int, user: str = ME, host: str = HOST, ago: float = 1.0) -> Path:
    since = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    path = backend.folder / ".pulumi/locks/organization/rollout/dev" / f"{pid}-{user}-{host}.json"
    path.write_text(json.dumps({"pid": pid, "username": user, "hostname": host, "timestamp": since}))
    return path


def test_lock_of_a_living_process_stays(backend: FileBackend) -> None:
    write(backend, os.getpid())
    assert locks.stale(backend.locks()) == []


def test_lock_of_a_dead_process_of_this_user_and_host_is_stale_and_can_be_removed(
    backend: FileBackend, dead_pid: int
) -> None:
    path = write(backend, dead_pid)
    [lock] = locks.stale(backend.locks())
    assert locks.remove(lock)
    assert not path.exists()


@pytest.mark.parametrize(("user", "host"), [("somebody", HOST), (ME, "elsewhere")])
def test_lock_of_another_user_or_host_is_never_stale(backend: FileBackend, dead_pid: int, user: str, host: str) -> None:
    write(backend, dead_pid, user, host)
    assert locks.stale(backend.locks()) == []


def test_a_pid_given_to_a_later_process_does_not_keep_the_lock(backend: FileBackend) -> None:
    write(backend, os.getpid(), ago=10 * 365 * 86_400)
    assert len(locks.stale(backend.locks())) == 1


def test_a_lock_that_has_changed_since_is_not_removed(backend: FileBackend, dead_pid: int) -> None:
    path = write(backend, dead_pid)
    [lock] = locks.stale(backend.locks())
    path.write_text(
        json.dumps({"pid": os.getpid(), "username": ME, "hostname": HOST, "timestamp": "2026-01-01T00:00:00Z"})
    )
    assert not locks.remove(lock)
    assert path.exists()


def test_pending_operations_are_read_from_the_checkpoint(backend: FileBackend) -> None:
    assert backend.pending_operations() is None
    stacks = backend.folder / ".pulumi/stacks/rollout"
    stacks.mkdir(parents=True)
    latest = {"resources": [], "pending_operations": [{"resource": {"urn": "urn:x"}, "type": "creating"}]}
    (stacks / "dev.json").write_text(json.dumps({"version": 3, "checkpoint": {"stack": "dev", "latest": latest}}))
    assert backend.pending_operations() == ["urn:x"]
    (stacks / "dev.json").write_text(json.dumps({"version": 3, "checkpoint": {"stack": "dev", "latest": None}}))
    assert backend.pending_operations() == []


def test_only_file_urls_are_file_backends() -> None:
    assert FileBackend.of("s3://bucket", "p", "s", Path("/")) is None
    relative = FileBackend.of("file://./state", "p", "s", Path("/srv"))
    assert relative is not None
    assert relative.folder == Path("/srv/state")
