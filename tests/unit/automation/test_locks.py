from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from automation import locks
from automation.locks import FileBackend, Signing
from tests.unit.hostile import messages

ME = pwd.getpwuid(os.getuid()).pw_name
HOST = socket.gethostname()
FOLDER = ".pulumi/locks/organization/rollout/dev"


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    found = FileBackend.of(f"file://{tmp_path}", "rollout", "dev", Path("/"))
    assert found is not None
    (tmp_path / FOLDER).mkdir(parents=True)
    return found


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def write(
    backend: FileBackend, pid: int, user: str = ME, host: str = HOST, ago: float = 0.0, *, signed: bool = True
) -> Path:
    since = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    path = backend.folder / FOLDER / f"{pid}-{user}-{host}.json"
    path.write_text(json.dumps({"pid": pid, "username": user, "hostname": host, "timestamp": since}))
    if signed:
        sign(backend, path, **(locks._here() or {}))
    return path


def sign(backend: FileBackend, lock: Path, **place: str) -> Path:
    content = json.loads(lock.read_text())
    file = backend.folder / ".pulumi/rollout/locks" / lock.name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**place, "pid": content["pid"], "since": content["timestamp"]}))
    return file


@contextmanager
def engine() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def signatures(backend: FileBackend) -> list[Path]:
    return list((backend.folder / ".pulumi/rollout").rglob("*.json"))


def wait_for_signature(backend: FileBackend) -> None:
    end = time.monotonic() + 10
    while not signatures(backend):
        assert time.monotonic() < end, "the lock was not signed"
        time.sleep(0.01)


def test_lock_of_a_living_process_stays(backend: FileBackend) -> None:
    write(backend, os.getpid())
    assert locks.stale(backend.locks()) == []


def test_the_signed_lock_of_a_dead_process_is_stale_and_can_be_removed(backend: FileBackend, dead_pid: int) -> None:
    path = write(backend, dead_pid)
    [lock] = locks.stale(backend.locks())
    assert locks.remove(lock)
    assert not path.exists()
    assert signatures(backend) == []


@pytest.mark.parametrize(("user", "host"), [("somebody", HOST), (ME, "elsewhere")])
def test_lock_of_another_user_or_host_is_never_stale(backend: FileBackend, dead_pid: int, user: str, host: str) -> None:
    write(backend, dead_pid, user, host)
    assert locks.stale(backend.locks()) == []


@pytest.mark.parametrize("other", ["boot", "namespace"])
def test_lock_of_another_boot_or_pid_namespace_is_never_stale(backend: FileBackend, dead_pid: int, other: str) -> None:
    """A container with the same user and host name: its process is not to be seen from here, and may live."""
    here = locks._here()
    assert here is not None
    sign(backend, write(backend, dead_pid), **{**here, other: "another"})
    assert locks.stale(backend.locks()) == []


def test_a_lock_that_nobody_signed_is_never_stale(backend: FileBackend, dead_pid: int) -> None:
    write(backend, dead_pid, signed=False)
    assert locks.stale(backend.locks()) == []


def test_where_the_place_cannot_be_told_no_lock_is_stale(
    backend: FileBackend, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(backend, dead_pid)
    monkeypatch.setattr(locks, "_here", lambda: None)
    assert locks.stale(backend.locks()) == []


def test_the_signature_of_another_lock_is_none(backend: FileBackend, dead_pid: int) -> None:
    path = write(backend, dead_pid)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "timestamp": "2026-01-01T00:00:00Z"}))
    assert locks.stale(backend.locks()) == []


def test_a_pid_given_to_a_later_process_does_not_keep_the_lock(backend: FileBackend) -> None:
    write(backend, os.getpid(), ago=10 * 365 * 86_400)
    assert len(locks.stale(backend.locks())) == 1


def test_a_run_that_is_killed_leaves_a_lock_that_the_next_one_knows_to_be_dead(backend: FileBackend) -> None:
    signing = Signing(backend)
    with engine() as process:
        signing.__enter__()  # and no exit: it was killed
        write(backend, process.pid, signed=False)
        wait_for_signature(backend)
        assert locks.stale(backend.locks()) == []
    assert [lock.pid for lock in locks.stale(backend.locks())] == [process.pid]


def test_what_was_signed_is_forgotten_with_the_lock(backend: FileBackend) -> None:
    with engine() as process, Signing(backend):
        path = write(backend, process.pid, signed=False)
        wait_for_signature(backend)
        path.unlink()
    assert signatures(backend) == []


def test_an_engine_that_was_killed_alone_leaves_its_signature(backend: FileBackend) -> None:
    with engine() as process, Signing(backend):
        write(backend, process.pid, signed=False)
        wait_for_signature(backend)
    assert len(locks.stale(backend.locks())) == 1


@pytest.mark.parametrize("whose", ["before", "not a child", "two at once"])
def test_the_lock_of_another_run_is_not_signed(backend: FileBackend, whose: str) -> None:
    with engine() as process:
        if whose == "before":
            write(backend, process.pid, signed=False)
        with Signing(backend):
            if whose == "not a child":
                write(backend, os.getppid(), signed=False)
            if whose == "two at once":
                (backend.folder / FOLDER / "other.json").write_text(
                    json.dumps({"pid": 7, "username": ME, "hostname": HOST, "timestamp": "2026-01-01T00:00:00Z"})
                )
                write(backend, process.pid, signed=False)
            time.sleep(0.1)
    assert signatures(backend) == []


def test_a_backend_without_files_needs_no_signature() -> None:
    with Signing(None) as signing:
        signing.forget()


def test_a_lock_that_has_changed_since_is_not_removed(backend: FileBackend, dead_pid: int) -> None:
    path = write(backend, dead_pid)
    [lock] = locks.stale(backend.locks())
    path.write_text(
        json.dumps({"pid": os.getpid(), "username": ME, "hostname": HOST, "timestamp": "2026-01-01T00:00:00Z"})
    )
    assert not locks.remove(lock)
    assert path.exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages)
def test_whatever_a_lock_or_a_signature_says_is_no_reason_to_remove_it(
    backend: FileBackend, dead_pid: int, content: str
) -> None:
    path = write(backend, dead_pid)
    sign(backend, path).write_text(content, errors="replace")
    assert locks.stale(backend.locks()) == []
    path.write_text(content, errors="replace")
    assert locks.stale(backend.locks()) == []


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
