from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from automation.pods import PodFacts
from automation.watch import Stalled, Watch
from components.termination_message import TerminationMessage

JOB = PodFacts(
    "ledger-migrate-x",
    "ledger",
    "1.2.0",
    "ledger-1-2-0-migrate-ab",
    "migrate",
    "migrate",
    "Pending",
    False,
    False,
    0,
    None,
    "",
    "",
    "",
)
SERVE = PodFacts(
    "ledger-1-2-0-y", "ledger", "1.2.0", "", "serve", "ledger", "Pending", False, False, 0, None, "", "", ""
)
FAILED = replace(
    JOB,
    phase="Failed",
    started=True,
    exit_code=1,
    termination_message='{"message": "division by zero", "sqlstate": "22012", "statement": "SELECT \'hunter2\'"}',
)


@dataclass
class FakeCluster:
    """What the watch asks of the cluster, from memory."""

    logs: dict[str, list[str]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    scaling: bool = False
    given_up: dict[tuple[str, str], Stalled] = field(default_factory=dict)
    barred: list[PodFacts] = field(default_factory=list)

    def pods(self) -> tuple[list[PodFacts], str]:
        return [], "1"

    def watch_pods(self, since: str, seconds: int) -> Iterator[tuple[bool, PodFacts]]:
        time.sleep(0.05)
        yield from ()

    def follow_log(self, pod: str, container: str) -> Iterator[str]:
        yield from self.logs.get(pod, [])

    def log_tail(self, pod: str, container: str, lines: int) -> list[str]:
        return self.logs.get(pod, [])[-lines:]

    def warnings(self, pod: str) -> list[str]:
        return ["Unhealthy: Readiness probe failed"]

    def is_scaling_up(self, pod: str) -> bool:
        return self.scaling

    def stalled(self) -> dict[tuple[str, str], Stalled]:
        return dict(self.given_up)

    def not_admitted(self) -> list[PodFacts]:
        return self.barred

    def end_job(self, job: str) -> None:
        self.ended.append(job)


@dataclass
class Heard:
    logs: list[str] = field(default_factory=list)
    failures: list[tuple[TerminationMessage, str]] = field(default_factory=list)
    ready: list[tuple[int, int]] = field(default_factory=list)
    given_up_for: list[str] = field(default_factory=list)

    def job_log(self, pod: PodFacts, line: str) -> None:
        self.logs.append(line)

    def job_failed(self, pod: PodFacts, words: TerminationMessage, state: str) -> None:
        self.failures.append((words, state))

    def pod_changed(self, pod: PodFacts, ready: int, total: int) -> None:
        self.ready.append((ready, total))

    def given_up(self, pod: PodFacts, why: str) -> None:
        self.given_up_for.append(why)


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Scene:
    cluster: FakeCluster
    heard: Heard
    clock: Clock
    stops: list[bool]
    watch: Watch


@pytest.fixture
def scene() -> Scene:
    cluster, heard, clock, stops = FakeCluster(), Heard(), Clock(), list[bool]()
    watch = Watch(cluster, heard, lambda text: text.replace("hunter2", "[secret]"), lambda: stops.append(True), clock)
    return Scene(cluster, heard, clock, stops, watch)


def test_a_failed_pods_cause_and_log_are_told_at_once_and_without_secrets(scene: Scene) -> None:
    scene.cluster.logs[JOB.name] = ["applying", "password hunter2"]
    scene.watch.see(JOB, False)
    scene.watch.see(replace(JOB, phase="Running", started=True), False)
    scene.watch.see(FAILED, False)
    assert scene.heard.logs == ["applying", "password [secret]"]
    assert scene.heard.failures == [(TerminationMessage("division by zero", "22012", "SELECT '[secret]'"), "")]
    report = scene.watch.seen().jobs[JOB.job]
    assert report.failed
    assert report.logs == ("applying", "password [secret]")


QUOTA = 'pods "ledger-1-2-0-migrate-ab-" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2'


def test_a_job_whose_pod_is_not_admitted_ends_within_seconds_with_the_reason(scene: Scene) -> None:
    """After timescale/helm-charts#259 and Kong/charts#264: it was waited for until the Job's deadline, and no reason was given."""
    scene.cluster.barred = [PodFacts.none(JOB.job, "ledger", "1.2.0", "migrate", QUOTA)]
    for scene.clock.time in (1, 5, 10):
        scene.watch.tick()
    assert scene.cluster.ended == []
    scene.clock.time = 12
    scene.watch.tick()
    scene.watch.tick()
    assert scene.cluster.ended == [JOB.job]
    why = f"Job {JOB.job} has no pod: FailedCreate: {QUOTA}"
    assert scene.heard.given_up_for == [why]
    report = scene.watch.seen().jobs[JOB.job]
    assert (report.failed, report.kind, report.state) == (True, "migrate", why)


def test_a_pod_that_is_admitted_after_all_is_all_that_counts(scene: Scene) -> None:
    scene.cluster.barred = [PodFacts.none(JOB.job, "ledger", "1.2.0", "migrate", QUOTA)]
    scene.watch.tick()
    scene.cluster.barred = []
    scene.watch.see(replace(JOB, phase="Running", started=True), False)
    scene.clock.time = 60
    scene.watch.tick()
    assert scene.cluster.ended == []
    scene.watch.see(replace(JOB, phase="Succeeded", started=True, exit_code=0), False)
    assert not scene.watch.seen().jobs[JOB.job].failed


def test_a_deployment_of_which_a_pod_is_not_admitted_is_given_up_if_that_lasts(scene: Scene) -> None:
    """After Shopify/krane#173: room for the version that serves, and none for a pod of the next."""
    scene.watch.deploying("ledger", "1.2.0")
    stalled = scene.cluster.given_up
    refused = Stalled("Deployment ledger-1-2-0: FailedCreate: exceeded quota", "10:00", 10.0)
    stalled["ledger", "1.2.0"] = refused
    scene.watch.tick()
    scene.clock.time = 8
    scene.watch.tick()
    stalled.clear()
    scene.watch.tick()
    stalled["ledger", "1.2.0"] = refused
    scene.clock.time = 15
    scene.watch.tick()
    assert scene.stops == []
    scene.clock.time = 26
    scene.watch.tick()
    assert scene.stops == [True]
    assert scene.watch.seen().halted == {"ledger": refused.why}


def test_a_failure_is_told_once(scene: Scene) -> None:
    for _ in range(3):
        scene.watch.see(FAILED, False)
    assert len(scene.heard.failures) == 1


def test_a_job_that_succeeded_is_no_failure(scene: Scene) -> None:
    scene.watch.see(replace(JOB, phase="Succeeded", started=True, exit_code=0), False)
    assert not scene.watch.seen().jobs[JOB.job].failed
    assert scene.heard.failures == []


def test_a_job_whose_image_is_missing_is_ended_after_a_second_try_of_the_pull(scene: Scene) -> None:
    pulling = replace(JOB, reason="ErrImagePull", message="not found")
    scene.watch.see(pulling, False)
    scene.clock.time = 5
    scene.watch.see(replace(pulling, reason="ImagePullBackOff"), False)
    scene.watch.tick()
    assert scene.cluster.ended == []
    scene.clock.time = 9.5
    scene.watch.tick()
    scene.watch.tick()
    assert scene.cluster.ended == [JOB.job]
    assert scene.heard.given_up_for == ["Pod ledger-migrate-x: ImagePullBackOff: not found"]
    assert scene.watch.seen().jobs[JOB.job].state == "Pod ledger-migrate-x: ImagePullBackOff: not found"
    assert not scene.stops


def test_a_pull_that_recovers_is_left_alone(scene: Scene) -> None:
    scene.watch.see(replace(JOB, reason="ErrImagePull"), False)
    scene.clock.time = 8
    scene.watch.see(replace(JOB, phase="Running", started=True), False)
    scene.clock.time = 30
    scene.watch.tick()
    assert scene.cluster.ended == []


def test_no_room_is_waited_for_while_nodes_are_being_added(scene: Scene) -> None:
    scene.watch.see(replace(JOB, reason="Unschedulable"), False)
    scene.clock.time = 60
    scene.cluster.scaling = True
    scene.watch.tick()
    assert scene.cluster.ended == []
    scene.cluster.scaling = False
    scene.watch.tick()
    assert scene.cluster.ended == [JOB.job]


def test_a_new_version_that_cannot_start_stops_the_engine_once(scene: Scene) -> None:
    scene.watch.deploying("ledger", "1.2.0")
    for name in ("a", "b"):
        scene.watch.see(replace(SERVE, name=name, reason="InvalidImageName"), False)
    scene.watch.tick()
    scene.watch.tick()
    assert scene.stops == [True]
    assert "ledger" in scene.watch.seen().halted


def test_a_deployment_past_its_progress_deadline_stops_the_engine(scene: Scene) -> None:
    scene.watch.deploying("ledger", "1.2.0")
    scene.cluster.given_up["ledger", "1.2.0"] = Stalled("Deployment ledger-1-2-0: ProgressDeadlineExceeded", "10:00")
    scene.watch.tick()
    assert scene.stops == [True]


def test_a_deployment_that_an_earlier_update_left_past_its_deadline_is_given_another_chance(scene: Scene) -> None:
    stalled = scene.cluster.given_up
    stalled["ledger", "1.2.0"] = Stalled("Deployment ledger-1-2-0: ProgressDeadlineExceeded", "10:00")
    scene.watch.start()
    scene.watch.wait_ready(5)
    scene.watch.deploying("ledger", "1.2.0")
    scene.watch.tick()
    assert scene.stops == []
    stalled["ledger", "1.2.0"] = Stalled("Deployment ledger-1-2-0: ProgressDeadlineExceeded", "10:05")
    scene.watch.tick()
    scene.watch.stop(0)
    assert scene.stops == [True]


def test_pods_of_other_versions_do_not_count(scene: Scene) -> None:
    scene.watch.see(replace(SERVE, reason="InvalidImageName"), False)
    scene.watch.tick()
    assert not scene.stops
    assert scene.heard.ready == []


def test_readiness_is_counted_over_the_versions_pods(scene: Scene) -> None:
    scene.watch.deploying("ledger", "1.2.0")
    scene.watch.see(replace(SERVE, name="a"), False)
    scene.watch.see(replace(SERVE, name="b"), False)
    scene.watch.see(replace(SERVE, name="a", ready=True, phase="Running", started=True), False)
    assert scene.heard.ready == [(0, 1), (0, 2), (1, 2)]
    [pod] = scene.watch.seen().pods["ledger"]
    assert (pod.name, pod.events) == ("b", ("Unhealthy: Readiness probe failed",))


def test_a_started_watch_ends_when_it_is_stopped(scene: Scene) -> None:
    scene.watch.start()
    scene.watch.wait_ready(1)
    assert scene.watch.stop(0.1).jobs == {}


@pytest.mark.parametrize(
    "error", [ValueError("no JSON"), RuntimeError("closed"), UnicodeDecodeError("utf-8", b"", 0, 1, "x")]
)
def test_a_cluster_that_cannot_be_asked_keeps_no_verdict_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> list[str]:
        raise error

    scene.watch.deploying("ledger", "1.2.0")
    scene.watch.see(replace(SERVE, started=True), False)
    scene.cluster.logs[SERVE.name] = ["boom"]
    monkeypatch.setattr(scene.cluster, "warnings", fail)
    [pod] = scene.watch.stop(0.0).pods["ledger"]
    assert (pod.logs, pod.events) == (("boom",), ())
    monkeypatch.setattr(scene.cluster, "log_tail", fail)
    [pod] = scene.watch.stop(0.0).pods["ledger"]
    assert (pod.name, pod.logs, pod.events) == (SERVE.name, (), ())
