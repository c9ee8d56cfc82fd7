"""What is told of the database after a migration, whatever image migrated: looked at, not believed."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod

from tests.cluster.stacks import WITNESSED, Stack

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


@pytest.fixture
def stack(stack: Stack) -> Stack:
    stack.configure(**WITNESSED)
    return stack


@pytest.fixture(scope="class")
def installed(shared: Stack) -> dict[str, Any]:
    """The verdict on a first installation."""
    shared.configure(**WITNESSED)
    return shared.deployed("1.1.0")


@pytest.mark.long
class TestGoodMigration:
    def test_what_it_did_to_the_database_is_told(self, installed: dict[str, Any]) -> None:
        assert "added table public.transactions" in installed["modules"][0]["database"]["changes"]

    def test_it_begins_only_after_the_first_look_and_its_job_ends_after_the_second(
        self, installed: dict[str, Any], shared: Stack
    ) -> None:
        [job] = shared.objects(Job)[-1:]
        [pod] = shared.api.list(Pod, namespace=shared.name, labels={"rollout.formance.com/job": "migrate"})
        [witness] = pod.status.initContainerStatuses
        [migrate] = pod.status.containerStatuses
        assert witness.state.terminated.startedAt <= migrate.state.terminated.startedAt
        assert witness.state.terminated.finishedAt >= migrate.state.terminated.finishedAt
        assert (witness.restartCount, job.status.succeeded) == (0, 1)

    def test_who_looks_on_changes_no_job_of_a_version_that_is_deployed(
        self, installed: dict[str, Any], shared: Stack
    ) -> None:
        jobs = shared.job_uids()
        shared.configure(migration={"activeDeadlineSeconds": 120, "witness": False})
        code, verdict = shared.up()
        assert (code, verdict["outcome"]) == (0, "unchanged")
        assert shared.job_uids() == jobs
        verdict = shared.deployed("1.6.0")
        assert verdict["modules"][0]["database"] is None


def test_a_foreign_image_that_fails_half_way_is_reported_with_what_it_left(stack: Stack) -> None:
    stack.deployed("1.1.0")
    stack.configure(version="1.2.0", migration={"args": ["migrate-stepwise"], "activeDeadlineSeconds": 120})
    process = stack.workspace.start("up")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 3, stderr
    assert "THE FAILED MIGRATION HAS CHANGED THE DATABASE" in stdout
    assert "added table public.settlements" in stdout
    assert "previous version 1.1.0 still serving" in stdout
    assert stack.serving() == "1.1.0"
    code, verdict = stack.up()
    database = verdict["modules"][0]["database"]
    assert (code, database["unchanged"]) == (3, True), "the second time there was nothing more to leave"
    assert verdict["modules"][0]["job"]["sqlstate"] == "42P07"


@pytest.mark.long
def test_a_database_that_cannot_be_looked_at_does_not_stop_its_migration(stack: Stack) -> None:
    stack.deployed("1.1.0")
    # Views are printed under a lock of their own, which another session holds all the while.
    stack.sql("CREATE SCHEMA hidden")
    stack.sql("CREATE VIEW hidden.locked AS SELECT 1 AS one")
    with stack.holding("LOCK TABLE hidden.locked IN ACCESS EXCLUSIVE MODE"):
        verdict = stack.deployed("1.6.0")
    database = verdict["modules"][0]["database"]
    assert database["unchanged"] is None
    assert "could not be looked at" in database["message"]
