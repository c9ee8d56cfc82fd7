from __future__ import annotations

from typing import Any

from pulumi.automation.events import EngineEvent

from automation.pulumi_adapter import Recorder, classify, without_traceback
from automation.steps import belongs_to

STACK = "urn:pulumi:dev::rollout::"
MODULE = f"{STACK}rollout:index:Stack$rollout:index:Module::ledger"
MIGRATION = f"{STACK}rollout:index:Stack$rollout:index:Module$rollout:index:Migration::ledger"
JOB = f"{STACK}rollout:index:Stack$rollout:index:Module$rollout:index:Migration$kubernetes:batch/v1:Job::ledger-1.1.0-migrate"


def event(**content: Any) -> EngineEvent:
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, **content})


def job_metadata(op: str = "create") -> dict[str, Any]:
    labels = {"rollout.formance.com/module": "ledger", "rollout.formance.com/version": "1.1.0"}
    state = {
        "type": "kubernetes:batch/v1:Job",
        "urn": JOB,
        "id": "",
        "parent": MIGRATION,
        "provider": "",
        "inputs": {"metadata": {"name": "ledger-1-1-0-migrate-0a1b2c3d", "labels": labels}},
        "outputs": {},
    }
    return {"op": op, "urn": JOB, "type": "kubernetes:batch/v1:Job", "old": None, "new": state, "provider": ""}


def test_a_resource_belongs_to_the_module_its_parent_is_named_after() -> None:
    assert belongs_to(JOB, MIGRATION) == ("ledger", "migration")
    assert belongs_to(MODULE, "") == ("ledger", "module")
    assert belongs_to(f"{STACK}pulumi:providers:kubernetes::kubernetes", f"{STACK}rollout:index:Stack::dev") == ("", "")


def test_events_become_steps_with_the_kubernetes_name_and_version() -> None:
    recorder = Recorder()
    recorder(event(resourcePreEvent={"metadata": job_metadata()}))
    recorder(event(resOpFailedEvent={"metadata": job_metadata(), "status": 1, "steps": 1}))
    recorder(event(diagnosticEvent={"urn": JOB, "severity": "error", "message": "boom\n", "color": "never"}))
    recorder(
        event(
            diagnosticEvent={
                "urn": JOB,
                "severity": "warning",
                "message": "passing\n",
                "color": "never",
                "ephemeral": True,
            }
        )
    )
    recorder(
        event(
            summaryEvent={
                "maybeCorrupt": False,
                "durationSeconds": 1,
                "resourceChanges": {"same": 3, "create": 1},
                "PolicyPacks": {},
            }
        )
    )
    run = recorder.run(None)
    assert [(s.phase, s.op, s.kind, s.module, s.part, s.object_name, s.version) for s in run.steps] == [
        ("started", "create", "Job", "ledger", "migration", "ledger-1-1-0-migrate-0a1b2c3d", "1.1.0"),
        ("failed", "create", "Job", "ledger", "migration", "ledger-1-1-0-migrate-0a1b2c3d", "1.1.0"),
    ]
    assert run.errors(JOB) == ("boom",)
    assert len(run.diagnostics) == 1
    assert run.changes == {"same": 3, "create": 1}


def test_a_held_lock_is_told_with_its_holder() -> None:
    text = (
        "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock file with `pulumi cancel`.\n"
        "  file:///state/.pulumi/locks/organization/rollout/dev/x.json: created by ann@build-7 (pid 4711) at 2026-11-22T21:37:49Z\n"
    )
    failure = classify(1, "", text)
    assert failure.kind == "locked"
    assert [str(lock) for lock in failure.locks] == ["ann@build-7 (pid 4711), since 2026-11-22T21:37:49Z"]


def test_wrong_passphrase_is_recognised() -> None:
    failure = classify(
        255,
        "",
        'error: getting secrets manager: constructing secrets manager of type "passphrase": incorrect passphrase',
    )
    assert failure.kind == "passphrase"
    assert "PULUMI_CONFIG_PASSPHRASE" in failure.text


def test_an_engine_ended_by_a_signal_is_killed() -> None:
    assert classify(-9, "", "").kind == "killed"
    assert "SIGKILL" in classify(-9, "", "").text


def test_tracebacks_do_not_reach_people() -> None:
    text = 'Program failed with an unhandled exception:\nTraceback (most recent call last):\n  File "x.py", line 74, in <module>\n    raise RuntimeError("no")\nRuntimeError: settings are wrong\n'
    assert without_traceback(text).strip() == "RuntimeError: settings are wrong"
