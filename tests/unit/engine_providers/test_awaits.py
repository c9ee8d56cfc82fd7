"""The conditions of readiness, fed with watch events as they came in recorded runs; and the loop around them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from offline.providers.kubernetes.awaits import NotReady, Status, until
from offline.providers.kubernetes.awaits.deployment import DeploymentReady
from offline.providers.kubernetes.awaits.job import JobComplete
from offline.providers.kubernetes.awaits.pod import check
from offline.providers.kubernetes.awaits.statefulset import StatefulSetReady
from offline.providers.kubernetes.client import Client
from offline.providers.kubernetes.informers import Event, Feed, Informers
from offline.providers.kubernetes.kinds import Resource

from .objects import BACKOFF, UNREADY, Object, deployment, job, pod, replica_set

JOBS = Resource("batch/v1", "jobs", True)


class Said(list[tuple[str, str]]):
    """What a call reported."""

    def log(self, severity: str, text: str, ephemeral: bool) -> None:
        self.append((severity, text))

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self]


def make(kind: type[Any], o: Object, said: Said | None = None, before: Object | None = None) -> Any:
    return kind(o, before, Status((said if said is not None else Said()).log), cast(Client, None))


def test_a_job_is_complete_when_it_says_so() -> None:
    said = Said()
    j = make(JobComplete, job(), said)
    for status in (
        {},
        {"startTime": "t", "active": 1},
        {"startTime": "t"},
        {"startTime": "t", "succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    ):
        assert not j.ready()
        j.on_object(job(**status))
    assert j.ready()
    assert said.texts == [
        'Waiting for Job "rec/ledger-2-migrate" to start',
        'Waiting for Job "rec/ledger-2-migrate" to succeed (Active: 1 | Succeeded: 0 | Failed: 0)',
        'Waiting for Job "rec/ledger-2-migrate" to succeed (Active: 0 | Succeeded: 0 | Failed: 0)',
        'Waiting for Job "rec/ledger-2-migrate" to succeed (Active: 0 | Succeeded: 1 | Failed: 0)',
    ]


def test_a_failed_job_tells_what_its_pod_said_and_why_it_ended_in_the_recorded_words() -> None:
    said = Said()
    j = make(JobComplete, job(), said)
    j.on_object(job(startTime="t", active=1))
    j.on_related(Event("pods", "ADDED", pod("j", ready=UNREADY)))
    j.on_related(
        Event(
            "pods",
            "MODIFIED",
            pod(
                "j",
                state={"terminated": {"reason": "Error", "exitCode": 1}},
                ready={"status": "False", "reason": "PodFailed"},
                phase="Failed",
            ),
        )
    )
    j.on_related(Event("pods", "ADDED", pod("another", ready=UNREADY, name="x")))
    with pytest.raises(NotReady) as e:
        j.on_object(job(startTime="t", failed=1, conditions=[BACKOFF]))
    assert str(e.value) == "Resource 'ledger-2-migrate' was created but failed to initialize"
    assert e.value.reasons == [
        "[Pod rec/p]: containers with unready status: [c]",
        '[Pod rec/p]: container "c" completed with exit code 1',
        "[BackoffLimitExceeded] Job has reached the specified backoff limit",
    ]
    assert ("warning", '[Pod rec/p]: container "c" completed with exit code 1') in said
    assert not [t for t in said.texts if "unready" in t]


def test_a_termination_message_takes_the_place_of_the_exit_code() -> None:
    p = pod(
        "j",
        state={"terminated": {"reason": "Error", "exitCode": 1, "message": '{"outcome": "failed"}'}},
        ready={"status": "False", "reason": "PodFailed"},
    )
    assert check(p)[2] == '[Pod rec/p]: [Error] {"outcome": "failed"}'


def test_an_image_that_cannot_be_pulled_is_told() -> None:
    p = pod(
        "j", state={"waiting": {"reason": "ErrImagePull", "message": "no such image"}}, ready=UNREADY, phase="Pending"
    )
    assert check(p)[2] == "[Pod rec/p]: containers with unready status: [c][ErrImagePull] no such image"


AVAILABLE = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "m"}
UNAVAILABLE = {
    "type": "Available",
    "status": "False",
    "reason": "MinimumReplicasUnavailable",
    "message": "Deployment does not have minimum availability.",
}
ROLLED_OUT = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "m"}
PROGRESSING = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "m"}


def test_a_first_deployment_is_ready_when_available_with_every_pod_ready() -> None:
    said = Said()
    d = make(DeploymentReady, deployment(), said)
    d.on_object(deployment(revision=""))
    d.on_object(deployment(observedGeneration=1, conditions=[PROGRESSING, UNAVAILABLE]))
    d.on_related(Event("replicasets", "ADDED", replica_set("1", 1, 0)))
    assert not d.ready()
    d.on_object(deployment(observedGeneration=1, conditions=[PROGRESSING, AVAILABLE]))
    assert not d.ready()
    d.on_related(Event("replicasets", "MODIFIED", replica_set("1", 1, 1)))
    assert d.ready()
    assert said == [
        ("warning", "[MinimumReplicasUnavailable] Deployment does not have minimum availability."),
        ("info", "Waiting for app ReplicaSet to be available (0/1 Pods available)"),
        ("info", "Deployment initialization complete"),
    ]


def test_a_rollout_waits_for_the_new_replica_set_not_for_the_old_pods() -> None:
    d = make(DeploymentReady, deployment(2), before=deployment(1))
    d.on_related(Event("replicasets", "ADDED", replica_set("1", 1, 1)))
    d.on_object(
        deployment(2, "1", observedGeneration=1, conditions=[ROLLED_OUT, AVAILABLE])
    )  # the controller has not seen it
    assert not d.ready()
    d.on_object(deployment(2, "2", observedGeneration=2, conditions=[PROGRESSING, AVAILABLE]))
    d.on_related(Event("replicasets", "ADDED", replica_set("2", 1, 1)))
    assert not d.ready()
    d.on_object(deployment(2, "2", observedGeneration=2, conditions=[ROLLED_OUT, AVAILABLE]))
    assert d.ready()


def test_a_scaled_deployment_waits_for_its_replica_set_to_follow() -> None:
    scaled = deployment(2, "1", observedGeneration=2, conditions=[ROLLED_OUT, AVAILABLE])
    scaled["spec"]["replicas"] = 2
    d = make(DeploymentReady, deployment(2), before=deployment(1))
    d.on_related(Event("replicasets", "ADDED", replica_set("1", 1, 1)))
    d.on_object(scaled)
    assert not d.ready()
    d.on_related(Event("replicasets", "MODIFIED", replica_set("1", 2, 2)))
    assert d.ready()


def test_a_deployment_that_never_became_ready_gives_the_recorded_reasons() -> None:
    d = make(DeploymentReady, deployment())
    d.on_object(deployment(observedGeneration=1, conditions=[PROGRESSING, UNAVAILABLE]))
    d.on_related(Event("replicasets", "ADDED", replica_set("1", 1, 0)))
    d.on_related(Event("pods", "ADDED", pod("rs-1", ready=UNREADY)))
    assert d.reasons() == [
        "[MinimumReplicasUnavailable] Deployment does not have minimum availability.",
        "Minimum number of live Pods was not attained",
        "[Pod rec/p]: containers with unready status: [c]",
    ]


def test_a_stateful_set_is_ready_with_all_replicas_on_the_newest_revision() -> None:
    def stateful_set(**status: Any) -> Object:
        return {"metadata": {"name": "s", "uid": "s", "generation": 1}, "spec": {"replicas": 2}, "status": status}

    said = Said()
    s = make(StatefulSetReady, stateful_set(), said)
    revisions = {"observedGeneration": 1, "currentRevision": "r", "updateRevision": "r"}
    assert not s.ready()
    s.on_object(stateful_set(**revisions, replicas=2, readyReplicas=1, currentReplicas=2))
    assert not s.ready()
    assert s.reasons() == ["1 out of 2 replicas succeeded readiness checks"]
    s.on_object(stateful_set(**revisions, replicas=2, readyReplicas=2, currentReplicas=2))
    assert s.ready()
    assert said.texts == [
        "[1/2] Waiting for StatefulSet to create Pods (0/0 Pods ready)",
        "[1/2] Waiting for StatefulSet to create Pods (1/2 Pods ready)",
        "StatefulSet initialization complete",
    ]


class Scripted(Informers):
    """Events at their times, from a script instead of a server."""

    def __init__(self, *script: tuple[float, Event]) -> None:
        self._script = script

    def subscribe(self, feed: Feed, path: str) -> Any:
        if path.endswith("/jobs"):
            for delay, event in self._script:
                threading.Timer(delay, feed.put, (event,)).start()
        return self

    def unsubscribe(self, feed: Feed) -> None: ...


def wait(
    *script: tuple[float, Event], timeout: float = 5, cancel: Callable[[], threading.Event] = threading.Event
) -> Object:
    return until(make(JobComplete, job()), JOBS, Scripted(*script), cancel(), timeout)


DONE: Object = {"startTime": "t", "conditions": [{"type": "Complete", "status": "True"}]}


@pytest.mark.measures
def test_the_wait_ends_at_the_event_that_fulfils_it() -> None:
    began = time.monotonic()
    assert wait((0.05, Event("jobs", "MODIFIED", job(**DONE))))["status"] == DONE
    assert time.monotonic() - began < 0.2


def test_an_older_job_of_the_same_name_is_not_mistaken_for_this_one() -> None:
    with pytest.raises(NotReady, match="timed out waiting to be Ready"):
        wait((0, Event("jobs", "ADDED", job(uid="older", **DONE))), timeout=0.1)


@pytest.mark.measures
def test_a_jobs_time_runs_from_its_last_event() -> None:
    assert wait(
        *((t / 10, Event("jobs", "MODIFIED", job(startTime="t", active=1))) for t in range(1, 5)),
        (0.5, Event("jobs", "MODIFIED", job(**DONE))),
        timeout=0.3,
    )


@pytest.mark.measures
def test_a_cancelled_wait_ends_soon_and_says_so() -> None:
    def soon() -> threading.Event:
        e = threading.Event()
        threading.Timer(0.05, e.set).start()
        return e

    began = time.monotonic()
    with pytest.raises(NotReady) as e:
        wait(cancel=soon)
    assert str(e.value) == 'Resource operation was cancelled for "ledger-2-migrate"'
    assert time.monotonic() - began < 0.4
