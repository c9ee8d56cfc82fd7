from __future__ import annotations

from typing import Any

import pytest
from lightkube.resources.core_v1 import Pod

from automation.pods import observe
from components.termination_message import TerminationMessage, parse


def pod(status: dict[str, Any], labels: dict[str, str] | None = None) -> Pod:
    labels = labels or {
        "rollout.formance.com/module": "ledger",
        "rollout.formance.com/job": "migrate",
        "rollout.formance.com/version": "1.1.0",
        "batch.kubernetes.io/job-name": "j",
    }
    return Pod.from_dict(
        {"metadata": {"name": "p", "labels": labels}, "spec": {"containers": [{"name": "migrate"}]}, "status": status}
    )


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "migrate", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state, **more}


def test_a_jobs_pod_knows_its_job_module_and_version() -> None:
    facts = observe(pod({"phase": "Pending"}))
    assert (facts.module, facts.version, facts.job, facts.kind, facts.container) == (
        "ledger",
        "1.1.0",
        "j",
        "migrate",
        "migrate",
    )
    assert not facts.started
    assert facts.patience() is None


def test_a_deployments_pod_serves() -> None:
    facts = observe(
        pod(
            {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            {"app.kubernetes.io/name": "ledger", "app.kubernetes.io/version": "1.1.0"},
        )
    )
    assert (facts.module, facts.version, facts.kind, facts.ready) == ("ledger", "1.1.0", "serve", True)


def test_the_termination_message_of_the_last_end_is_kept_while_the_container_waits_to_restart() -> None:
    ended = {"terminated": {"exitCode": 3, "message": "boom"}}
    facts = observe(
        pod(
            {
                "phase": "Running",
                "containerStatuses": [
                    container({"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended, restartCount=2)
                ],
            }
        )
    )
    assert (facts.exit_code, facts.termination_message, facts.restarts, facts.started) == (3, "boom", 2, True)
    assert facts.patience() is None


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [("InvalidImageName", 0), ("ErrImagePull", 9), ("ImagePullBackOff", 9), ("CreateContainerConfigError", 6)],
)
def test_what_no_waiting_heals_is_final_within_15_seconds(reason: str, seconds: float) -> None:
    facts = observe(
        pod({"phase": "Pending", "containerStatuses": [container({"waiting": {"reason": reason, "message": "why"}})]})
    )
    assert facts.patience() == seconds
    assert facts.state == f"{reason}: why"


def test_a_pod_no_node_has_room_for_is_unschedulable() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available",
    }
    facts = observe(pod({"phase": "Pending", "conditions": [condition]}))
    assert (facts.reason, facts.patience()) == ("Unschedulable", 10)


def test_a_container_being_made_is_no_reason() -> None:
    facts = observe(
        pod({"phase": "Pending", "containerStatuses": [container({"waiting": {"reason": "ContainerCreating"}})]})
    )
    assert facts.reason == ""
    assert facts.patience() is None


def killed(code: int, reason: str, message: str = "") -> TerminationMessage:
    """The last words of a migration's pod whose container was killed."""
    ended = container({"terminated": {"exitCode": code, "reason": reason, "message": message}})
    spec = {"containers": [{"name": "migrate", "resources": {"limits": {"memory": "512Mi"}}}]}
    found = pod({"phase": "Failed", "containerStatuses": [ended]}).to_dict() | {"spec": spec}
    return parse(observe(Pod.from_dict(found)).termination_message)


def test_a_container_that_was_killed_for_its_memory_says_so_and_not_what_it_wrote_last() -> None:
    """After helm/charts#12771: the last line of the log was told as the cause."""
    words = killed(137, "OOMKilled", "applied 0041_backfill\nstarting 0042_index")
    assert words.message == "it was killed for using more memory than its limit of 512Mi (OOMKilled, exit code 137)"
    assert "migration.resources.limits.memory" in words.hint


@pytest.mark.parametrize(
    ("code", "signal", "message"),
    [(137, "SIGKILL", ""), (139, "SIGSEGV", "one\nlast line\n"), (143, "SIGTERM", "last line")],
)
def test_a_container_that_a_signal_ended_says_which(code: int, signal: str, message: str) -> None:
    words = killed(code, "Error", message)
    last = "; the last it wrote: last line" if message else ""
    assert words.message == f"it was ended by {signal} (exit code {code}){last}"


@pytest.mark.parametrize("code", [1, 2, 128, 255])
def test_a_program_that_ended_by_itself_has_the_last_word(code: int) -> None:
    assert killed(code, "Error", "division by zero").message == "division by zero"


def test_the_migrator_s_own_words_count_also_where_a_signal_ended_it() -> None:
    assert killed(143, "Error", '{"outcome": "terminated", "message": "rolled back"}').message == "rolled back"
