"""What lasts says what it does, and how far it has come."""

from __future__ import annotations

import threading
import time

import pytest

from migrator import progress


def test_what_lasts_is_told_with_its_size_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_FIRST", 0.0)
    said, told = [], threading.Event()

    def log(line: str) -> None:
        said.append(line)
        told.set()

    with progress.telling(log, "restoring", lambda: 3 << 20, 2 << 30):
        assert told.wait(5)
    assert said == ["restoring: 3.0 MiB of 2.0 GiB, 0 s so far"]


def test_what_is_short_says_nothing() -> None:
    said: list[str] = []
    with progress.telling(said.append, "restoring"):
        pass
    assert said == []


@pytest.mark.parametrize(("size", "text"), [(12, "12 bytes"), (1536, "1.5 KiB"), (5 << 40, "5120.0 GiB")])
def test_sizes_are_written_as_people_do(size: int, text: str) -> None:
    assert progress.amount(size) == text


def test_of_many_lines_one_a_second_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    said: list[str] = []
    paced = progress.Paced(said.append, burst=3)
    for number in range(1000):
        clock = number / 100
        paced(str(number))
    assert paced.close() + len(said) == 1000
    assert said[:3] == ["0", "1", "2"]
    assert 10 <= len(said) <= 13


def test_a_line_that_waits_is_logged_while_it_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PACE", 0.01)
    said, logged = [], threading.Event()

    def log(line: str) -> None:
        said.append(line)
        if line == "it hangs here":
            logged.set()

    paced = progress.Paced(log, burst=1)
    paced("first")
    paced("passes")
    paced("it hangs here")
    assert logged.wait(5)
    paced.close()
    assert said[0] == "first"


def test_what_is_over_is_not_logged_any_more() -> None:
    said: list[str] = []
    paced = progress.Paced(said.append, burst=1)
    paced("first")
    paced("second")
    paced.forget()
    paced.close()
    assert said == ["first"]
