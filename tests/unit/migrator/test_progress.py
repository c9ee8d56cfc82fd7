"""What lasts says what it does, and how far it has come."""

from __future__ import annotations

import threading

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
