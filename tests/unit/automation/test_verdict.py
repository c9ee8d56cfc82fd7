from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from automation import wording
from automation.backup import BackupReport
from automation.steps import Diagnostic, Failure, Finding, LockHolder, Phase, Run, Step
from automation.verdict import (
    JobReport,
    JobState,
    Outcome,
    PodReport,
    Serving,
    Snapshot,
    Verdict,
    Watched,
    essence,
    judge,
    refusal_of,
    refused,
)
from components.termination_message import TerminationMessage

PULUMI = "3.274.1"
FAILED = Failure("failed", "update failed")


def step(
    kind: str,
    name: str,
    op: str = "create",
    phase: Phase = "done",
    part: str = "release",
    module: str = "ledger",
    **more: Any,
) -> Step:
    types = {
        "Job": "kubernetes:batch/v1:Job",
        "Deployment": "kubernetes:apps/v1:Deployment",
        "Service": "kubernetes:core/v1:Service",
    }
    urn = f"urn:pulumi:dev::rollout::rollout:index:Stack$rollout:index:Module${types[kind]}::{name}"
    return Step(urn, kind, name, module, part, op, phase, **more)


def job(version: str = "1.2.0", phase: Phase = "done", **more: Any) -> Step:
    return step(
        "Job",
        f"ledger-{version}-migrate",
        phase=phase,
        part="migration",
        object_name=f"ledger-{version.replace('.', '-')}-migrate-0a1b2c3d",
        version=version,
        **more,
    )


def serving(
    version: str | None = "1.1.0",
    ready: int = 2,
    desired: int = 2,
    module: str = "ledger",
    jobs: Sequence[JobState] = (),
) -> Snapshot:
    return Snapshot({module: Serving(version, ready, desired)} if version else {}, tuple(jobs))


DIVISION = JobReport(
    "ledger-1-2-0-migrate-0a1b2c3d",
    logs=("applying 0003_ratio.sql", "ERROR 0003_ratio.sql line 7: SQLSTATE 22012: division by zero"),
    words=TerminationMessage(
        "division by zero", "22012", "INSERT INTO ratio SELECT amount / 0 FROM postings", "0003_ratio.sql", 7
    ),
    failed=True,
)


def failed_migration() -> Verdict:
    run = Run(False, (job(phase="started"), job(phase="failed")), failure=FAILED)
    watched = Watched(jobs={DIVISION.name: DIVISION})
    return judge(
        "dev", PULUMI, {"ledger": "1.2.0"}, run, before=serving(), after=serving(), watched=watched, seconds=4.2
    )


def test_failed_migration_leads_with_the_cause_and_ends_with_what_serves() -> None:
    verdict = failed_migration()
    assert (verdict.outcome, verdict.exit_code) == (Outcome.MIGRATION_FAILED, 3)
    assert wording.text(verdict).splitlines() == [
        "ledger 1.2.0: migration failed (Job ledger-1-2-0-migrate-0a1b2c3d)",
        "  | division by zero (SQLSTATE 22012)",
        "  statement at 0003_ratio.sql:7:",
        "    | INSERT INTO ratio SELECT amount / 0 FROM postings",
        "  last log lines:",
        "    | applying 0003_ratio.sql",
        "    | ERROR 0003_ratio.sql line 7: SQLSTATE 22012: division by zero",
        "  previous version 1.1.0 still serving (2/2 ready)",
        "migration_failed in 4.2 s",
    ]


def test_failed_migration_as_json() -> None:
    document = failed_migration().as_json()
    assert document["outcome"] == "migration_failed"
    assert document["pulumi"] == "3.274.1"
    [module] = document["modules"]
    assert (module["name"], module["version"], module["previous"], module["outcome"]) == (
        "ledger",
        "1.2.0",
        "1.1.0",
        "migration_failed",
    )
    assert module["serving"] == {"version": "1.1.0", "ready": 2, "desired": 2}
    assert (module["job"]["sqlstate"], module["job"]["file"], module["job"]["line"]) == ("22012", "0003_ratio.sql", 7)
    assert module["job"]["statement"].startswith("INSERT INTO ratio")
    assert len(module["job"]["logs"]) == 2


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (serving(ready=1), "previous version 1.1.0 still serving (1/2 ready, FEWER THAN WANTED)"),
        (serving(ready=0), "NOT SERVING: Service ledger selects 1.1.0, which has no ready pod (0/2 ready)"),
        (serving(None), "NOTHING SERVES: Service ledger is gone (1.1.0 served before)"),
        (None, "WHAT SERVES NOW IS NOT KNOWN: the cluster could not be asked"),
    ],
)
def test_what_serves_is_said_as_it_was_found(after: Snapshot | None, said: str) -> None:
    run = Run(False, (job(phase="started"), job(phase="failed")), failure=FAILED)
    verdict = judge("dev", PULUMI, {"ledger": "1.2.0"}, run, before=serving(), after=after)
    assert f"  {said}" in wording.text(verdict).splitlines()


def test_a_failed_first_install_says_that_nothing_served() -> None:
    run = Run(False, (job(phase="started"), job(phase="failed")), failure=FAILED)
    verdict = judge("dev", PULUMI, {"ledger": "1.0.0"}, run, before=Snapshot(), after=Snapshot())
    assert "nothing served before, nothing serves now: this was the first install" in wording.text(verdict)


def test_without_a_watch_the_engines_own_words_are_the_cause() -> None:
    failing = job(phase="failed")
    text = "2 errors occurred:\n\t* resource \"urn:x\" was successfully created, but the Kubernetes API server reported that it failed to fully initialize or become live: Resource 'j' was created but failed to initialize\n\t* [BackoffLimitExceeded] Job has reached the specified backoff limit\n\n"
    run = Run(False, (job(phase="started"), failing), (Diagnostic("error", text, failing.urn),), failure=FAILED)
    [module] = judge("dev", PULUMI, {"ledger": "1.2.0"}, run, before=serving(), after=serving()).modules
    assert module.job is not None
    assert module.job.words.message == "[BackoffLimitExceeded] Job has reached the specified backoff limit"


def test_a_database_that_cannot_be_made_is_a_failed_migration_of_its_own_job() -> None:
    failing = step("Job", "ledger-database", phase="failed", part="database", object_name="ledger-database-1234abcd")
    watched = Watched(
        jobs={
            "ledger-database-1234abcd": JobReport(
                "ledger-database-1234abcd",
                "database",
                words=TerminationMessage("could not connect to 10.0.0.9:5432"),
                failed=True,
            )
        }
    )
    verdict = judge(
        "dev",
        PULUMI,
        {"ledger": "1.0.0"},
        Run(False, (failing,), failure=FAILED),
        before=Snapshot(),
        after=Snapshot(),
        watched=watched,
    )
    assert verdict.outcome is Outcome.MIGRATION_FAILED
    assert wording.text(verdict).startswith(
        "ledger 1.0.0: its database could not be made or taken over (Job ledger-database-1234abcd)\n  | could not connect to 10.0.0.9:5432"
    )


def test_good_update_is_deployed() -> None:
    steps = (
        job(),
        step("Deployment", "ledger-1.2.0"),
        step("Service", "ledger", "update"),
        step("Deployment", "ledger-1.1.0", "delete"),
    )
    verdict = judge(
        "dev",
        PULUMI,
        {"ledger": "1.2.0"},
        Run(True, steps, changes={"create": 2, "same": 9}),
        before=serving(),
        after=serving("1.2.0"),
        seconds=6,
    )
    assert (verdict.outcome, verdict.exit_code) == (Outcome.DEPLOYED, 0)
    assert wording.text(verdict).splitlines() == [
        "ledger 1.1.0 -> 1.2.0: deployed, serving (2/2 ready)",
        "deployed in 6.0 s (2 create)",
    ]


def test_unhealthy_version_is_a_failed_rollout_with_its_pods() -> None:
    failing = step("Deployment", "ledger-1.4.0", phase="failed", version="1.4.0")
    pods = (
        PodReport(
            "ledger-1-4-0-x", "running but not ready", False, 0, ("boom",), ("Unhealthy: Readiness probe failed: 503",)
        ),
    )
    run = Run(
        False,
        (job("1.4.0"), replace(failing, phase="started"), failing),
        (Diagnostic("error", "1 error occurred:\n\t* timed out waiting to be Ready", failing.urn),),
        failure=FAILED,
    )
    verdict = judge(
        "dev",
        PULUMI,
        {"ledger": "1.4.0"},
        run,
        before=serving(),
        after=serving(),
        watched=Watched(pods={"ledger": pods}),
    )
    assert (verdict.outcome, verdict.exit_code) == (Outcome.ROLLOUT_FAILED, 4)
    assert wording.text(verdict).splitlines()[:8] == [
        "ledger 1.4.0: rollout failed (migrated by Job ledger-1-4-0-migrate-0a1b2c3d)",
        "  | timed out waiting to be Ready",
        "  Pod ledger-1-4-0-x: running but not ready",
        "    event: Unhealthy: Readiness probe failed: 503",
        "    last log lines:",
        "      | boom",
        "  previous version 1.1.0 still serving (2/2 ready)",
        f"rollout_failed in {verdict.seconds:.1f} s",
    ]


def test_rollout_given_up_early_is_a_failed_rollout_although_the_engine_was_told_to_stop() -> None:
    failing = step("Deployment", "ledger-1.4.0", phase="failed")
    watched = Watched(halted={"ledger": "Pod x: ImagePullBackOff: not found"})
    verdict = judge(
        "dev",
        PULUMI,
        {"ledger": "1.4.0"},
        Run(False, (job("1.4.0"), failing), failure=FAILED),
        before=serving(),
        after=serving(),
        watched=watched,
    )
    assert verdict.outcome is Outcome.ROLLOUT_FAILED
    assert "ImagePullBackOff" in wording.text(verdict)


def test_one_failed_module_of_two_leaves_the_other_deployed_and_the_run_failed() -> None:
    steps = (
        job(phase="failed"),
        step("Deployment", "ledger-1.1.0", "delete", "failed"),
        step("Deployment", "wallets-2.0.0", module="wallets"),
        step("Service", "wallets", "update", module="wallets"),
    )
    before = Snapshot({"ledger": Serving("1.1.0", 2, 2), "wallets": Serving("1.9.0", 2, 2)})
    after = Snapshot({"ledger": Serving("1.1.0", 2, 2), "wallets": Serving("2.0.0", 2, 2)})
    verdict = judge(
        "dev",
        PULUMI,
        {"ledger": "1.2.0", "wallets": "2.0.0"},
        Run(False, steps, failure=FAILED),
        before=before,
        after=after,
    )
    assert {m.name: m.outcome.value for m in verdict.modules} == {"ledger": "migration_failed", "wallets": "deployed"}
    assert verdict.exit_code == 3


def test_a_module_the_halted_run_did_not_reach_is_unchanged_and_says_so() -> None:
    wanted = {"ledger": "1.2.0", "wallets": "2.0.0"}
    before = Snapshot({"ledger": Serving("1.1.0", 2, 2), "wallets": Serving("1.9.0", 2, 2)})
    verdict = judge(
        "dev", PULUMI, wanted, Run(False, (job(phase="failed"),), failure=FAILED), before=before, after=before
    )
    wallets = verdict.modules[1]
    assert (wallets.outcome, wallets.detail) == (Outcome.UNCHANGED, "not reached: the run halted before")
    assert verdict.exit_code == 3


def test_what_cannot_be_removed_after_a_good_rollout_fails_the_run_and_says_that_the_new_version_serves() -> None:
    removal = step("Deployment", "ledger-1.1.0", "delete", "failed")
    steps = (job(), step("Deployment", "ledger-1.2.0"), step("Service", "ledger", "update"), removal)
    run = Run(False, steps, (Diagnostic("error", "timed out", removal.urn),), failure=FAILED)
    verdict = judge("dev", PULUMI, {"ledger": "1.2.0"}, run, before=serving(), after=serving("1.2.0"))
    assert verdict.outcome is Outcome.ROLLOUT_FAILED
    assert "1.2.0 serves, but what it replaces could not be removed: timed out" in wording.text(verdict)
    assert "the new version 1.2.0 serves (2/2 ready)" in wording.text(verdict)


def test_interrupt_in_mid_migration_is_cancelled_and_names_the_running_job() -> None:
    running = JobState("ledger-1-2-0-migrate-0a1b2c3d", "ledger", "migrate", "1.2.0", "active")
    run = Run(False, (job(phase="started"), job(phase="failed")), failure=FAILED)
    verdict = judge(
        "dev", PULUMI, {"ledger": "1.2.0"}, run, before=serving(), after=serving(jobs=[running]), interrupted=True
    )
    assert (verdict.outcome, verdict.exit_code) == (Outcome.CANCELLED, 130)
    text = wording.text(verdict)
    assert "Job ledger-1-2-0-migrate-0a1b2c3d is still running and was left alone" in text
    assert "Run the same command again" in text
    assert "previous version 1.1.0 still serving (2/2 ready)" in text


def test_a_migration_that_had_failed_before_the_interrupt_stays_failed() -> None:
    run = Run(False, (job(phase="started"), job(phase="failed")), failure=FAILED)
    verdict = judge(
        "dev",
        PULUMI,
        {"ledger": "1.2.0"},
        run,
        before=serving(),
        after=serving(),
        watched=Watched(jobs={DIVISION.name: DIVISION}),
        interrupted=True,
    )
    assert verdict.outcome is Outcome.MIGRATION_FAILED


def test_a_killed_engine_leaves_a_cancelled_run_to_be_repeated() -> None:
    run = Run(False, (job(phase="started"),), failure=Failure("killed", "the engine was ended by SIGKILL"))
    verdict = judge("dev", PULUMI, {"ledger": "1.2.0"}, run, before=serving(), after=serving())
    assert (verdict.outcome, verdict.exit_code) == (Outcome.CANCELLED, 130)
    assert "SIGKILL" in verdict.error


def test_locked_names_the_holder() -> None:
    failure = Failure(
        "locked", "the stack is currently locked", (LockHolder("ann", "build-7", 4711, "2026-11-22T21:37:49Z"),)
    )
    verdict = judge("dev", PULUMI, {"ledger": "1.2.0"}, Run(False, failure=failure), before=serving(), after=serving())
    assert (verdict.outcome, verdict.exit_code) == (Outcome.LOCKED, 5)
    assert wording.text(verdict).startswith(
        "stack dev is locked by another update: ann@build-7 (pid 4711), since 2026-11-22T21:37:49Z"
    )


def test_a_failure_of_the_stack_itself_is_not_lost() -> None:
    run = Run(False, (), (Diagnostic("error", "Namespace dev exists and was not made by this stack"),), failure=FAILED)
    verdict = judge("dev", PULUMI, {"ledger": "1.0.0"}, run, before=Snapshot(), after=Snapshot())
    assert verdict.outcome is Outcome.ROLLOUT_FAILED
    assert "Namespace dev exists" in wording.text(verdict)


def test_a_preview_with_a_mandatory_finding_refuses_with_every_one_of_them() -> None:
    urn = "urn:pulumi:dev::rollout::rollout:index:Module$kubernetes:batch/v1:Job::ledger-1.2.0-migrate"
    findings = (
        Finding("bounded", "gate", "Jobs end\nno deadline\n", urn, True),
        Finding("replicas", "gate", "two replicas", urn, False),
    )
    reason = refusal_of(Run(False, findings=findings, failure=FAILED))
    assert reason == "1 mandatory policy is not kept:\n  Job ledger-1.2.0-migrate: Jobs end no deadline (gate/bounded)"
    assert refused("dev", PULUMI, reason).exit_code == 2


def test_a_good_preview_refuses_nothing() -> None:
    assert refusal_of(Run(True)) is None


def test_left_over_init_errors_are_not_nothing_to_do() -> None:
    assert Run(True, (step("Deployment", "ledger-1.1.0", "same"),)).is_empty
    assert not Run(True, (step("Deployment", "ledger-1.1.0", "same", had_init_errors=True),)).is_empty
    assert not Run(False).is_empty


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("unchanged", 0),
        ("deployed", 0),
        ("refused", 2),
        ("migration_failed", 3),
        ("rollout_failed", 4),
        ("locked", 5),
        ("cancelled", 130),
    ],
)
def test_exit_codes_are_the_contract(outcome: str, code: int) -> None:
    assert Outcome(outcome).exit_code == code


def test_the_engines_frame_around_an_error_is_taken_off() -> None:
    assert essence("2 errors occurred:\n\t* one\n\t* two\n\n") == "one; two"
    assert (
        essence(
            'resource "u" was successfully created, but the Kubernetes API server reported that it failed to fully initialize or become live: timed out'
        )
        == "timed out"
    )


def test_a_database_that_cannot_be_backed_up_is_not_migrated_and_the_verdict_says_so() -> None:
    backup = BackupReport(
        "failed", "ledger-1-2-0-backup-1", 2.0, words=TerminationMessage("the volume is full", hint="Enlarge it.")
    )
    run = Run(False, (job(phase="failed"),), failure=Failure("failed", "hook"))
    verdict = judge(
        "dev",
        PULUMI,
        {"ledger": "1.2.0"},
        run,
        before=serving("1.1.0"),
        after=serving("1.1.0"),
        backups={"ledger": backup},
    )
    assert (verdict.outcome, verdict.exit_code) == (Outcome.MIGRATION_FAILED, 3)
    lines = wording.text(verdict).splitlines()
    assert lines[0].startswith(
        "ledger 1.2.0: its database could not be backed up, so it was not migrated (Job ledger-1-2-0-"
    )
    assert lines[1] == "  | the volume is full"
    assert "  database unchanged: the migration was not begun" in lines
    assert verdict.as_json()["modules"][0]["backup"]["outcome"] == "failed"
