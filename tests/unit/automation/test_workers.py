"""A worker is not left without pods for a version that does not come up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from automation.steps import Run, Step
from automation.workers import put_back

STEP = Step("urn", "Deployment", "ledger-worker", "ledger", "worker", "update", "started", "ledger-worker", "2.5.0")


@dataclass
class Cluster:
    """A worker with the versions it has had."""

    had: list[str]
    up: bool = False
    comes_back: bool = True
    asked: list[str] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    refusal: str = ""

    def is_up(self, deployment: str) -> bool:
        self.asked.append(deployment)
        return self.up

    def put_back(self, deployment: str) -> str | None:
        self.up = bool(self.had) and self.comes_back
        return self.had.pop() if self.had else None

    def refresh(self, urns: Sequence[str]) -> str:
        self.refreshed += urns
        return self.refusal


def said(cluster: Cluster, *steps: Step) -> list[str]:
    clock = iter(range(1000))
    return put_back(Run(False, steps), cluster, cluster.refresh, lambda: float(next(clock)), lambda _seconds: None)


def test_a_worker_that_does_not_come_up_is_put_back() -> None:
    assert said(Cluster(["2.4.12"]), STEP) == [
        "Deployment ledger-worker: 2.5.0 did not come up; 2.4.12 was put back and runs"
    ]


def test_the_version_is_that_of_the_update_though_its_failure_tells_of_the_one_before() -> None:
    failed = replace(STEP, phase="failed", version="2.4.12")
    assert said(Cluster(["2.4.12"]), STEP, failed) == [
        "Deployment ledger-worker: 2.5.0 did not come up; 2.4.12 was put back and runs"
    ]


def test_one_that_failed_with_other_settings_goes_back_to_those_before() -> None:
    assert said(Cluster(["2.5.0"]), STEP) == [
        "Deployment ledger-worker: 2.5.0 did not come up with its new settings; 2.5.0 with those before was put back and runs"
    ]


def test_pulumis_state_is_told_what_was_put_back_or_else_the_person() -> None:
    cluster = Cluster(["2.4.12"], refusal="locked")
    assert said(cluster, STEP)[1:] == [
        "Pulumi's state could not be told of it; run pulumi refresh before the next update: locked"
    ]
    assert cluster.refreshed == ["urn"]


def test_a_worker_that_came_up_stays_though_its_api_did_not() -> None:
    assert said(Cluster(["2.4.12"], up=True), STEP) == []


def test_the_first_worker_has_nothing_to_go_back_to() -> None:
    assert "none before" in said(Cluster([]), STEP)[0]


def test_one_that_does_not_come_back_is_told() -> None:
    assert "is not ready after 60 s" in said(Cluster(["2.4.12"], comes_back=False), STEP)[0]


def test_what_is_no_worker_is_not_asked_for() -> None:
    cluster = Cluster(["1"])
    assert said(cluster, Step("urn", "Deployment", "ledger-1.1.0", "ledger", "release", "create", "failed")) == []
    assert cluster.asked == []
