"""Rehearsals: a migration is tried on a scratch database, and the version that serves on the result, before anything moves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod

from tests.cluster.stacks import Stack, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

BOOK = {
    "method": "POST",
    "path": "/transactions",
    "headers": {"Idempotency-Key": "rehearsal"},
    "body": json.dumps({"postings": [{"account": "a", "amount": 1}, {"account": "b", "amount": -1}]}),
    "expect": 201,
}


REHEARSED: dict[str, Any] = {"rehearse": "schema", "rehearsal": {"requests": [BOOK, {"path": "/transactions/1"}]}}


@pytest.fixture
def rehearsing(stack: Stack) -> Stack:
    stack.configure(**REHEARSED)
    return stack


def rehearsal(verdict: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = verdict["modules"][0]["rehearsal"]
    return found


def nothing_is_left(stack: Stack) -> None:
    wait_for("the scratch database to be gone", lambda: stack.databases() == {f"{stack.name}-ledger"}, 30)


def test_a_version_that_breaks_the_one_that_serves_is_refused_with_the_column_named(rehearsing: Stack) -> None:
    stack = rehearsing
    verdict = stack.deployed("1.1.0")
    assert rehearsal(verdict) is None, "nothing served, so there was nothing to protect"
    before = stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.schema(), stack.jobs()
    code, verdict = stack.up("1.5.0")
    assert (code, verdict["outcome"]) == (2, "refused")
    [finding] = [f for f in rehearsal(verdict)["findings"] if f["level"] == "breaks"]
    assert "public.transactions.reference" in finding["what"]
    assert finding["why"]
    assert finding["instead"]
    assert (stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.schema(), stack.jobs()) == before
    assert verdict["modules"][0]["serving"] == {"version": "1.1.0", "ready": 1, "desired": 1}
    nothing_is_left(stack)
    code, verdict = stack.up("1.6.0")
    assert (code, verdict["outcome"]) == (0, "deployed")
    found = rehearsal(verdict)
    assert (found["outcome"], found["serving"], found["findings"]) == ("passed", "1.1.0", found["findings"])
    assert found["probes"] == ["GET /_healthcheck: 200", "POST /transactions: 201", "GET /transactions/1: 200"]
    assert stack.sql("SELECT count(*) FROM transactions") == [(0,)], "the rehearsal booked in the scratch database only"
    nothing_is_left(stack)


@pytest.mark.long
def test_where_contraction_is_declared_the_version_that_serves_still_has_to_work(rehearsing: Stack) -> None:
    stack = rehearsing
    stack.configure(contractSince="1.1.0")
    stack.deployed("1.1.0")
    code, verdict = stack.up("1.5.0")
    assert (code, verdict["outcome"]) == (2, "refused")
    assert [f for f in rehearsal(verdict)["findings"] if f["level"] == "breaks"] == []
    assert "1.1.0 fails on the new schema: POST /transactions gives 500" in rehearsal(verdict)["message"]
    assert rehearsal(verdict)["container"] == "judge"
    stack.configure(contractSince="1.1.1")
    code, verdict = stack.up("1.5.0")
    assert [f["rule"] for f in rehearsal(verdict)["findings"] if f["level"] == "breaks"] == ["column-dropped"]


@pytest.mark.long
def test_the_serving_version_runs_through_the_migration_and_is_then_restarted(rehearsing: Stack) -> None:
    """1.9 starts on no newer schema than its own, as Formance's ledger does, and keeps running on one."""
    stack = rehearsing
    stack.deployed("1.9.0")
    before = stack.fingerprints("1.9.0"), stack.pods("1.9.0"), stack.schema()
    code, verdict = stack.up("1.9.1")
    assert (code, verdict["outcome"]) == (2, "refused"), "1.9.0 does not recover from what it has prepared"
    assert "GET /transactions/1 gives 500" in rehearsal(verdict)["message"]
    assert (stack.fingerprints("1.9.0"), stack.pods("1.9.0"), stack.schema()) == before
    stack.configure(rehearse="off")
    stack.deployed("1.9.1")
    stack.configure(rehearse="schema")
    found = rehearsal(stack.deployed("1.9.2"))
    rules = {f["rule"]: f for f in found["findings"]}
    assert rules.keys() >= {"requests-lost", "restart-fails"}
    assert "GET /transactions/1 gives 500" in rules["requests-lost"]["why"]
    assert "rollback detected, last register version: 192, last available version: 191" in rules["restart-fails"]["why"]
    assert {f["level"] for f in found["findings"]} <= {"risky"}
    found = rehearsal(stack.deployed("1.9.3"))
    rules = {f["rule"]: f for f in found["findings"]}
    assert "restart-fails" in rules
    assert "requests-lost" not in rules, "its driver repeats what fails"
    nothing_is_left(stack)


@pytest.mark.long
def test_a_version_that_cannot_be_restarted_is_refused_where_the_settings_say_so(rehearsing: Stack) -> None:
    stack = rehearsing
    stack.deployed("1.9.2")
    stack.configure(compatibility={"restart": "refuse"})
    code, verdict = stack.up("1.9.3")
    assert (code, verdict["outcome"]) == (2, "refused")
    [broken] = [f for f in rehearsal(verdict)["findings"] if f["level"] == "breaks"]
    assert broken["rule"] == "restart-fails"
    assert "rollback detected" in broken["why"]
    nothing_is_left(stack)


class TestOneStack:
    """Nothing is moved: one stack serves for all of it."""

    def test_a_migration_that_fails_is_caught_before_the_real_database_is_touched(self, shared: Stack) -> None:
        stack = shared.at("1.1.0", **REHEARSED)
        before = stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.schema(), stack.jobs()
        process = stack.workspace.start("up", "--set", "ledger=1.2.0")
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 2, stderr
        assert "refused, as its migration fails in the rehearsal" in stdout
        assert "container migrate, exit code 1" in stdout
        assert "division by zero (SQLSTATE 22012)" in stdout
        assert "the real database was not touched" in stdout
        assert (stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.schema(), stack.jobs()) == before
        nothing_is_left(stack)

    @pytest.mark.long
    def test_rehearse_alone_changes_nothing(self, shared: Stack) -> None:
        stack = shared.at("1.1.0", **REHEARSED)
        before = stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.schema(), stack.jobs()
        code, verdict = stack.workspace.rollout("rehearse", "--set", "ledger=1.6.0")
        assert (code, verdict["outcome"], rehearsal(verdict)["outcome"]) == (0, "rehearsed", "passed")
        code, verdict = stack.workspace.rollout("rehearse", "--set", "ledger=1.5.0")
        assert (code, verdict["outcome"]) == (2, "refused")
        code, verdict = stack.workspace.rollout("rehearse")
        assert (code, verdict["outcome"]) == (0, "unchanged")
        assert (stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.schema(), stack.jobs()) == before
        nothing_is_left(stack)

    @pytest.mark.long
    def test_the_rows_are_there_where_they_are_asked_for(self, shared: Stack) -> None:
        stack = shared.at("1.1.0", **REHEARSED)
        stack.sql("INSERT INTO accounts (address, balance) VALUES ('kept', 7)")
        balance = {"path": "/accounts/kept/balance", "expect": 200}
        stack.configure(rehearse="copy", rehearsal={"requests": [balance]})
        code, verdict = stack.workspace.rollout("rehearse", "--set", "ledger=1.6.0")
        assert code == 0, verdict
        stack.configure(rehearsal={"requests": [balance], "copyLimit": "1"})
        code, verdict = stack.workspace.rollout("rehearse", "--set", "ledger=1.6.0")
        assert code == 2, "above the limit there are no rows"
        assert "GET /accounts/kept/balance gives 404" in rehearsal(verdict)["message"]
        assert "before the migration already" in rehearsal(verdict)["message"]

    @pytest.mark.long
    def test_what_a_killed_rehearsal_left_is_gone_with_the_next(self, shared: Stack) -> None:
        stack = shared.at("1.1.0", **REHEARSED)

        def migrating() -> bool:
            pods = stack.api.list(Pod, namespace=stack.name, labels={"rollout.formance.com/job": "rehearse"})
            states = [c for p in pods for c in p.status.initContainerStatuses or [] if c.name == "migrate"]
            return any(c.state.running for c in states)

        with stack.running(
            "rehearse", "--set", "ledger=1.5.1", until=migrating, what="the rehearsed migration to run"
        ) as process:
            stack.kill(process)
        # The pod is killed too, without a chance to clear up.
        for pod in stack.api.list(Pod, namespace=stack.name, labels={"rollout.formance.com/job": "rehearse"}):
            stack.api.delete(Pod, pod.metadata.name, namespace=stack.name, grace_period=0)
        code, verdict = stack.workspace.rollout("rehearse", "--set", "ledger=1.6.0")
        assert (code, verdict["outcome"]) == (0, "rehearsed"), verdict
        nothing_is_left(stack)

    def test_plain_pulumi_up_is_refused_too(self, shared: Stack) -> None:
        stack = shared.at("1.1.0", **REHEARSED)
        schema = stack.schema()
        stack.configure(version="1.5.0")
        done = stack.workspace.pulumi("up", "--yes", "--skip-preview", "--stack", stack.name, check=False)
        assert done.returncode != 0
        assert "public.transactions.reference" in done.stdout + done.stderr
        assert stack.schema() == schema
        assert stack.serving() == "1.1.0"
        assert [j.metadata.name for j in stack.objects(Job) if "1-5-0-migrate" in j.metadata.name] == []
