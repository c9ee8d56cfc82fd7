"""The file backend: its layout, whole files only, and locks that outlive nobody."""

from __future__ import annotations

import getpass
import json
import os
import signal
import socket
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from offline.backend.store import Backend, StackRef, parse_stack
from offline.engine.errors import EngineError, NotCovered, StackLocked, StackNotFound, UsageError

STACK = StackRef("test", "dev")


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    made = Backend(f"file://{tmp_path}")
    made.create(STACK)
    return made


def files(backend: Backend) -> set[str]:
    return {str(p.relative_to(backend.root)) for p in backend.root.rglob("*") if p.is_file() and p.suffix != ".attrs"}


def test_layout_is_the_clis(backend: Backend) -> None:
    assert (backend.root / "meta.yaml").read_text() == "version: 1\n"
    backend.write(STACK, b'{"version":3,"checkpoint":{}}')
    backend.add_history(STACK, {"kind": "update"})
    names = files(backend)
    assert {"meta.yaml", "stacks/test/dev.json", "stacks/test/dev.json.bak"} <= names
    kinds = sorted(
        n.split("/")[0] + n.split(".", 1)[1].lstrip("0123456789") for n in names if n.startswith(("history", "backups"))
    )
    assert kinds == ["backups.json", "historycheckpoint.json", "historyhistory.json"]
    attrs = json.loads((backend.root / "stacks/test/dev.json.attrs").read_text())
    assert attrs["user.content_type"] == "text/plain; charset=utf-8"


def test_the_copy_before_the_last_write_is_kept(backend: Backend) -> None:
    for i in (1, 2):
        backend.write(STACK, json.dumps({"n": i}).encode())
    assert backend.read(STACK) == {"n": 2}
    assert json.loads((backend.root / "stacks/test/dev.json.bak").read_text()) == {"n": 1}
    sums = {json.loads((backend.root / f"stacks/test/dev.json{x}.attrs").read_text())["md5"] for x in ("", ".bak")}
    assert len(sums) == 2
    assert not [n for n in files(backend) if n.endswith(".tmp")]


def lock_file(backend: Backend, **change: object) -> Path:
    content = {
        "pid": os.getpid(), "username": getpass.getuser(), "hostname": socket.gethostname(),
        "timestamp": datetime.now().astimezone().isoformat(), **change,
    }  # fmt: skip
    path = backend.root / "locks/organization/test/dev/00000000-0000-0000-0000-000000000000.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def dead_pid() -> int:
    p = subprocess.Popen(["true"])
    p.wait()
    return p.pid


def test_a_held_stack_is_refused_with_who_and_since_when(backend: Backend) -> None:
    stamp = "2026-11-22T21:37:49.123456789Z"
    lock_file(backend, username="ann", hostname="elsewhere", pid=7, timestamp=stamp)
    with pytest.raises(StackLocked) as e, backend.lock(STACK):
        pass
    assert str(e.value) == (
        "the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock file with "
        f"`pulumi cancel`.\n  {backend.url}/.pulumi/locks/organization/test/dev/00000000-0000-0000-0000-000000000000.json?no_tmp_dir=true: "
        "created by ann@elsewhere (pid 7) at 2026-11-22T21:37:49Z"
    )
    assert len(list((backend.root / "locks").rglob("*.json"))) == 1


def test_the_lock_of_a_dead_process_of_this_host_and_user_is_removed(
    backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lock_file(backend, pid=dead_pid())
    with backend.lock(STACK):
        assert not path.exists()
    assert "removed the lock of process" in capsys.readouterr().err


def test_a_pid_given_to_another_process_since_is_not_the_owner(backend: Backend) -> None:
    lock_file(backend, timestamp=(datetime.now() - timedelta(days=999)).astimezone().isoformat())
    with backend.lock(STACK):
        pass


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"hostname": "elsewhere", "pid": 1 << 22},
        {"username": "someone", "pid": 1 << 22},
        {"pidNamespace": "pid:[1]", "pid": 1 << 22},
    ],
    ids=["alive", "other host", "other user", "other pid namespace"],
)
def test_a_lock_that_may_be_alive_is_never_removed(backend: Backend, change: dict[str, object]) -> None:
    path = lock_file(backend, **change)
    with pytest.raises(StackLocked), backend.lock(STACK):
        pass
    assert path.exists()


def test_a_killed_holder_is_followed_by_the_next(backend: Backend) -> None:
    script = (
        "import sys, time; from offline.backend.store import Backend, StackRef\n"
        "with Backend(sys.argv[1]).lock(StackRef('test', 'dev')): print('held', flush=True); time.sleep(60)\n"
    )
    p = subprocess.Popen(
        [sys.executable, "-c", script, backend.url], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert p.stdout is not None
    with p, p.stdout:
        p.stdout.readline()
        with pytest.raises(StackLocked), backend.lock(STACK):
            pass
        p.send_signal(signal.SIGKILL)
    with backend.lock(STACK):
        pass


def test_cancel_removes_every_lock(backend: Backend) -> None:
    lock_file(backend, hostname="elsewhere")
    backend.cancel(STACK)
    with backend.lock(STACK):
        pass


def test_what_is_no_file_backend_is_not_covered(tmp_path: Path) -> None:
    with pytest.raises(NotCovered, match="s3://bucket"):
        Backend("s3://bucket")
    with pytest.raises(EngineError, match="does not exist"):
        Backend(f"file://{tmp_path}/gone")


def test_stack_names() -> None:
    assert (
        parse_stack("dev", "p")
        == parse_stack("p/dev", "x")
        == parse_stack("organization/p/dev", "x")
        == StackRef("p", "dev")
    )
    for bad in ("a/b/c", "organization/p/d/e", "with space", ""):
        with pytest.raises(UsageError):
            parse_stack(bad, "p")


def test_a_stack_that_is_not_there(backend: Backend) -> None:
    with pytest.raises(StackNotFound, match="no stack named 'none' found"):
        backend.read(StackRef("test", "none"))
