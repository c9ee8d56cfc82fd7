"""A pid is no identity: only the very process that was started is ever recognised, and signalled."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devkit.cluster import files, processes
from devkit.cluster.errors import ComponentError
from devkit.cluster.processes import Component

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROLLOUT_STATE", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def test_live_process_is_recognised_and_ended(sleeper: subprocess.Popen[bytes]) -> None:
    process = processes.identify(sleeper.pid)
    assert process is not None
    assert process.alive()
    processes.end([process], signal.SIGTERM)
    assert not process.alive()
    assert sleeper.wait() == -signal.SIGTERM


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "of another boot"}])
def test_process_that_was_given_a_recycled_pid_is_never_signalled(
    sleeper: subprocess.Popen[bytes], change: dict[str, object]
) -> None:
    process = processes.identify(sleeper.pid)
    assert process is not None
    earlier = replace(process, **change)  # type: ignore[arg-type]
    assert not earlier.alive()
    processes.end([earlier])
    assert sleeper.poll() is None


def test_zombie_counts_as_ended(sleeper: subprocess.Popen[bytes]) -> None:
    process = processes.identify(sleeper.pid)
    assert process is not None
    processes.end([process])
    assert sleeper.returncode is None, "nobody has reaped it"
    assert not process.alive()


def test_process_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(ready)!r}, 'w'); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script]) as stubborn:
        while not ready.exists():
            assert stubborn.poll() is None
        process = processes.identify(stubborn.pid)
        assert process is not None
        processes.end([process], signal.SIGTERM, patience=0.2)
        assert stubborn.wait() == -signal.SIGKILL


def test_component_outlives_its_starter_and_is_found_by_its_pid_file(state: Path) -> None:
    component = Component("sleeper", SLEEP, healthy=lambda: True)
    component.start()
    process = component.process()
    assert process is not None
    assert component.current()
    # For a moment after exec a process shows neither its arguments nor its environment; on a busy machine that can be seen.
    while not processes.marked(state):
        assert process.alive()
    assert processes.strays(SLEEP[0]) == processes.marked(state)
    component.end()
    assert component.process() is None
    assert not processes.pid_file("sleeper").exists()


def test_component_with_other_arguments_or_files_is_not_current(state: Path) -> None:
    configuration = state / "configuration"
    configuration.write_text("one", encoding="utf-8")
    component = Component("sleeper", SLEEP, lambda: True, configs=[configuration])
    component.start()
    try:
        assert component.current()
        assert not replace(component, argv=[*SLEEP, "more"]).current()
        configuration.write_text("two", encoding="utf-8")
        assert not component.current()
    finally:
        component.end()


def test_lost_pid_file_still_leaves_the_process_to_be_found_by_its_marker(state: Path) -> None:
    component = Component("sleeper", SLEEP, lambda: True)
    component.start()
    process = component.process()
    assert process is not None
    processes.pid_file("sleeper").unlink()
    assert component.process() is None
    assert [found.pid for found in processes.marked(state)] == [process.pid]
    processes.end(processes.marked(state))


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"pid": 1}', '{"pid": 1, "started": 0, "boot": "x", "y": 1}'])
def test_broken_pid_file_names_nobody(text: str) -> None:
    files.write(processes.pid_file("broken"), text)
    assert processes.recorded("broken") is None


def test_component_that_ends_at_once_is_reported_with_its_last_words() -> None:
    argv = [
        sys.executable,
        "-c",
        "import time; print('no such disk', flush=True); time.sleep(0.2); raise SystemExit(3)",
    ]
    component = Component("short", argv, lambda: False)
    component.start()
    with pytest.raises(ComponentError, match=r"short: ended instead of becoming healthy[\s\S]*no such disk"):
        component.wait()


def test_component_that_never_serves_is_given_up_in_time() -> None:
    component = Component("deaf", SLEEP, lambda: False, patience=0.2)
    component.start()
    try:
        with pytest.raises(ComponentError, match="deaf: not healthy after"):
            component.wait()
    finally:
        component.end()


def test_start_time_is_read_behind_any_command_name() -> None:
    assert processes.start_time(1) is not None
    assert processes.start_time(2**22 + 1) is None


def test_pid_file_is_never_half_written(state: Path) -> None:
    path = state / "value.json"
    assert files.write_json(path, {"a": 1})
    assert not files.write_json(path, {"a": 1}), "the same again is not written again"
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert [entry.name for entry in state.iterdir()] == ["value.json"]
