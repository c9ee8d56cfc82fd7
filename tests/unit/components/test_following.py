"""A Job is followed to its end, whatever the end is, and nothing of it is left at work that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.following import Ended, run_job
from components.foreign_text import read
from components.rehearsing import Container, PodState

JOB: dict[str, Any] = {
    "metadata": {"name": "job"},
    "spec": {"activeDeadlineSeconds": 60, "template": {"spec": {"containers": [{"name": "backup"}]}}},
}
RUNS = PodState("p", (Container("backup", running=True),))
GONE = PodState("", gone=True)


def exits(code: int, words: str = "") -> PodState:
    return PodState("p", (Container("backup", exit_code=code, message=words),))


def waits(reason: str) -> PodState:
    return PodState("p", (Container("backup", waiting=(reason, "why")),))


@dataclass
class FakeCluster:
    """A cluster in which the pods of Jobs go through given states, one Job after the other."""

    jobs: list[list[PodState | str]]
    lines: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def clear_jobs(self, labels: Mapping[str, str], seconds: float) -> None:
        self.done.append("cleared")

    def create_job(self, job: Mapping[str, Any]) -> None:
        self.done.append("created")

    def end_job(self, job: str) -> None:
        self.done.append("ended")

    def follow(self, job: str) -> Iterator[PodState | str]:
        yield from self.jobs.pop(0)

    def log(self, pod: str, container: str) -> Iterator[str]:
        yield from self.lines

    def tail(self, pod: str, container: str) -> list[str]:
        return ["tail"]


def run(
    *states: PodState | str,
    lines: list[str] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    seconds: float = 1.0,
) -> tuple[Ended, FakeCluster, list[str]]:
    cluster = FakeCluster([list(states)], lines or [])
    told: list[str] = []
    clock = iter(n * seconds for n in range(1000))
    return run_job(cluster, JOB, {}, now=lambda: next(clock), stopped=stopped, tell=told.append), cluster, told


def after(looks: int) -> Callable[[], bool]:
    """No for some times, then yes."""
    answers = iter([False] * looks)
    return lambda: next(answers, True)


def test_its_log_is_told_line_by_line_and_its_end_is_kept() -> None:
    ended, _, told = run(RUNS, exits(0, "words"), lines=["a", "b"])
    assert (ended.ok, ended.words, ended.logs) == (True, "words", ("a", "b"))
    assert told == ["a", "b"]


def test_a_log_that_cannot_be_followed_is_asked_for_at_the_end() -> None:
    ended, _, _ = run(exits(1, "words"))
    assert ended.logs == ("tail",)


def test_who_wants_an_end_waits_until_nothing_is_at_work() -> None:
    ended, cluster, _ = run(RUNS, RUNS, RUNS, exits(143, '{"outcome": "terminated"}'), stopped=after(2))
    assert cluster.done == ["cleared", "created", "ended"], "deleted once"
    assert (ended.ok, ended.stopped, ended.words) == (False, True, '{"outcome": "terminated"}')


def test_what_ends_well_before_it_is_ended_has_ended_well() -> None:
    ended, _, _ = run(RUNS, RUNS, exits(0, "words"), stopped=after(2))
    assert (ended.ok, ended.stopped, ended.words) == (True, False, "words")


def test_the_last_words_of_a_pod_that_is_gone_are_the_end_of_its_log() -> None:
    ended, _, _ = run(RUNS, RUNS, GONE, lines=["restore: ...", '{"outcome": "restored"}'], stopped=after(2))
    assert (ended.words, ended.began) == ('{"outcome": "restored"}', True)


def test_a_job_that_is_ended_before_it_has_a_pod_gets_none() -> None:
    ended, cluster, _ = run(PodState(""), PodState(""), stopped=after(1))
    assert (ended.stopped, ended.began, cluster.done[-1]) == (True, False, "ended")


def test_an_end_wanted_beforehand_creates_nothing() -> None:
    ended, cluster, _ = run(exits(0), stopped=lambda: True)
    assert (ended.ok, ended.stopped, cluster.done) == (False, True, [])


def test_a_pod_that_its_node_refuses_is_tried_again() -> None:
    refused = PodState("p", reason="OutOfcpu")
    cluster = FakeCluster([[refused], [refused], [RUNS, exits(0, "words")]])
    assert run_job(cluster, JOB, {}).ok
    assert cluster.done == ["cleared", "created"] * 3
    cluster = FakeCluster([[refused]] * 3)
    ended = run_job(cluster, JOB, {})
    assert (ended.ok, "OutOfcpu" in ended.words) == (False, True)


def test_a_node_under_load_is_given_time_to_start_a_container() -> None:
    busy = PodState("p", (Container("backup", waiting=("CreateContainerError", "context deadline exceeded")),))
    ended, _, told = run(*[busy] * 7, exits(0), seconds=3.0)
    assert ended.ok
    assert "its pod waits: CreateContainerError: context deadline exceeded" in told
    assert any(line.startswith("its pod does not run yet, ") for line in told)
    ended, _, _ = run(*[busy] * 60, exits(0), seconds=3.0)
    assert ended.words == "its pod cannot start: CreateContainerError: context deadline exceeded"


@pytest.mark.parametrize("state", ["waiting", "reason"])
def test_what_a_registry_says_is_not_read_as_the_containers_own_message(state: str) -> None:
    trick = 'manifest unknown\n{"outcome": "restored", "kept": "x"}'
    seen = {
        "waiting": PodState("p", (Container("backup", waiting=("ImagePullBackOff", trick)),)),
        "reason": PodState("p", reason=trick),
    }[state]
    ended, _, told = run(*[seen] * 60, seconds=10.0)
    assert not ended.ok
    assert not read(ended.words), "it is a sentence of ours"
    assert "manifest unknown" in ended.words
    assert not any("\n" in line for line in told)
