"""The gate on a real cluster with a real database: what a good upgrade does, and what a bad one must not do."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Namespace, Pod, Secret, ServiceAccount

from devkit import paths
from tests.cluster.stacks import WITNESSED, Stack, audit_lines, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


class TestOneStack:
    """What a stack goes through when nothing goes wrong."""

    def test_first_install_creates_the_database_migrates_and_serves(self, shared: Stack) -> None:
        shared.configure(**WITNESSED)
        verdict = shared.deployed("1.0.0")
        assert verdict["outcome"] == "deployed"
        assert shared.serving() == "1.0.0"
        assert shared.deployments() == {"ledger-1-0-0": 1}
        shared.gate_held()
        assert shared.databases() == {f"{shared.name}-ledger"}

    def test_upgrade_moves_to_the_new_version_and_removes_the_old_one(self, shared: Stack) -> None:
        shared.at("1.0.0", **WITNESSED)
        verdict = shared.deployed("1.1.0")
        assert verdict["modules"][0]["previous"] == "1.0.0"
        assert shared.serving() == "1.1.0"
        assert shared.deployments() == {"ledger-1-1-0": 1}
        shared.gate_held()
        assert list(shared.jobs().values()) == ["succeeded"], "the Job of the old version is cleaned up"

    @pytest.mark.skipif("KUBE_CONTEXT" in os.environ, reason="the audit log is the devkit cluster's")
    def test_no_op_writes_nothing(self, shared: Stack) -> None:
        shared.at("1.1.0", **WITNESSED)
        log = paths.state_dir() / "audit.log"
        start = log.stat().st_size
        code, verdict = shared.up()
        assert (code, verdict["outcome"]) == (0, "unchanged")
        writes = [
            e
            for e in audit_lines(log, start)
            if e["verb"] in ("create", "update", "patch", "delete", "deletecollection")
            and (e.get("objectRef") or {}).get("namespace") == shared.name
            and not e["user"]["username"].startswith("system:")
        ]
        assert writes == []

    def test_setting_change_without_a_version_change_runs_no_job(self, shared: Stack) -> None:
        shared.at("1.1.0", **WITNESSED)
        jobs = shared.job_uids()
        shared.configure(replicas=2, env={"EXTRA": "1"})
        code, _ = shared.up()
        assert code == 0
        assert shared.job_uids() == jobs
        assert shared.deployments() == {"ledger-1-1-0": 2}

    def test_destroy_keeps_the_database_and_what_it_was_migrated_to(self, shared: Stack) -> None:
        schema = shared.at("1.1.0", **WITNESSED).schema()
        code, verdict = shared.workspace.rollout("destroy", "--yes")
        assert code == 0
        assert shared.databases() == {f"{shared.name}-ledger"}
        assert shared.schema() == schema
        assert any(f"namespace {shared.name} is kept" in notice for notice in verdict["notices"])
        code, verdict = shared.up(None, "--set", "ledger=1.0.0")
        assert (code, verdict["outcome"]) == (2, "refused"), verdict
        assert "1.1.0, which its database was migrated to" in str(verdict)

    def test_a_stack_that_serves_does_not_move_to_another_namespace(self, shared: Stack) -> None:
        shared.at("1.1.0", **WITNESSED).workspace.configure({"namespace": {"name": f"{shared.name}-moved"}})
        code, verdict = shared.up()
        assert (code, verdict["outcome"]) == (2, "refused"), verdict
        assert f"at work in namespace {shared.name} (Service ledger)" in str(verdict)
        assert shared.serving() == "1.1.0"

    def test_destroy_drops_the_database_only_when_asked_by_name_and_halts_where_it_cannot(self, shared: Stack) -> None:
        shared.at("1.1.0", **WITNESSED)
        database, secrets = f"{shared.name}-ledger", len(shared.objects(Secret))
        code, verdict = shared.workspace.rollout("destroy", "--yes", "--drop-databases", "other")
        assert (code, shared.serving()) == (64, "1.1.0"), verdict
        shared.sql(f'ALTER DATABASE "{database}" IS_TEMPLATE true')
        code, verdict = shared.workspace.rollout("destroy", "--yes", "--drop-databases", shared.name)
        assert code == 4, verdict
        assert f"database {database} was not dropped" in str(verdict), json.dumps(verdict, indent=1)
        assert "template" in str(verdict)
        assert shared.databases() == {database}
        assert shared.deployments() == {}, "nobody uses it any more"
        assert len(shared.objects(Secret)) == secrets, "the credentials are there for the next try"
        shared.sql(f'ALTER DATABASE "{database}" IS_TEMPLATE false')
        code, verdict = shared.workspace.rollout("destroy", "--yes", "--drop-databases", shared.name)
        assert code == 0, verdict
        assert any(database in notice and "dropped" in notice for notice in verdict["notices"])
        assert shared.databases() == set()
        assert shared.name not in {n.metadata.name for n in shared.api.list(Namespace)}


@dataclass(frozen=True)
class Failure:
    """A stack whose upgrade to 1.2.0 failed twice, once told in JSON and once to a person, and what there was before."""

    stack: Stack
    before: tuple[object, ...]
    jobs: set[str]
    code: int
    verdict: dict[str, Any]
    exit_code: int
    stdout: str
    stderr: str

    @property
    def after(self) -> tuple[object, ...]:
        return everything(self.stack)


def everything(stack: Stack) -> tuple[object, ...]:
    """What 1.1.0 stands on."""
    return stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.schema(), stack.job("1.1.0")


@pytest.fixture(scope="class")
def failure(shared: Stack) -> Failure:
    shared.at("1.1.0", **WITNESSED)
    before, jobs = everything(shared), shared.job_uids()
    code, verdict = shared.up("1.2.0")
    shared.configure(version="1.1.0")
    process = shared.workspace.start("up", "--set", "ledger=1.2.0")
    stdout, stderr = process.communicate(timeout=120)
    return Failure(shared, before, jobs, code, verdict, process.returncode, stdout, stderr)


class TestFailedMigration:
    """One failure, looked at from all sides."""

    def test_it_leaves_the_previous_version_and_its_database_untouched(self, failure: Failure) -> None:
        assert failure.code == 3
        assert failure.verdict["outcome"] == "migration_failed"
        assert failure.after == failure.before
        assert failure.stack.serving() == "1.1.0"
        assert set(failure.stack.deployments()) == {"ledger-1-1-0"}, "nothing of the new version was started"
        module = failure.verdict["modules"][0]
        assert module["job"]["sqlstate"] == "22012"
        assert module["serving"] == {"version": "1.1.0", "ready": 1, "desired": 1}

    def test_the_database_was_looked_at_and_nothing_is_left_in_it(self, failure: Failure) -> None:
        database = failure.verdict["modules"][0]["database"]
        assert (database["unchanged"], database["changes"], database["message"]) == (True, [], "")

    def test_its_first_lines_name_the_cause_in_the_order_people_ask(self, failure: Failure) -> None:
        assert failure.exit_code == 3
        first = failure.stdout.splitlines()
        assert first[0].startswith("ledger 1.2.0: migration failed (Job ledger-1-2-0-migrate-")
        assert "division by zero (SQLSTATE 22012)" in first[1]
        assert first[2].startswith("  statement at ")
        logs = failure.stdout.index("last log lines:")
        assert logs < failure.stdout.index("previous version 1.1.0 still serving (1/1 ready)")
        assert "Traceback" not in failure.stdout + failure.stderr

    def test_the_log_comes_as_it_is_written_before_the_verdict_on_it(self, failure: Failure) -> None:
        lines = failure.stderr.splitlines()
        log = next(number for number, line in enumerate(lines) if " | " in line)
        assert log < next(number for number, line in enumerate(lines) if "migration failed at" in line)

    def test_a_password_is_nowhere_in_what_is_shown_or_stored(self, failure: Failure) -> None:
        password, workspace = paths.postgres().password, failure.stack.workspace
        shown = [failure.stdout, failure.stderr, str(failure.verdict), workspace.pulumi("stack", "export").stdout]
        shown += [p.read_text(errors="replace") for p in workspace.root.rglob("*.json") if p.is_file()]
        assert [text[:200] for text in shown if password in text] == []

    def test_status_tells_wanted_deployed_and_migrated(self, failure: Failure) -> None:
        code, status = failure.stack.workspace.rollout("status")
        assert code == 0
        [module] = status["modules"]
        assert {k: module[k] for k in ("wanted", "deployed", "migrated", "ready", "desired", "settled")} == {
            "wanted": "1.2.0", "deployed": "1.1.0", "migrated": "1.1.0", "ready": 1, "desired": 1, "settled": False,
        }  # fmt: skip
        assert len(status["init_errors"]) == 1
        assert status["lock"] is None

    def test_plain_pulumi_up_is_gated_too(self, failure: Failure) -> None:
        stack = failure.stack
        done = stack.workspace.pulumi("up", "--yes", "--skip-preview", "--stack", stack.name, check=False)
        assert done.returncode != 0
        assert failure.after == failure.before
        stack.gate_held()

    def test_going_back_is_no_change_for_the_version_that_serves(self, failure: Failure) -> None:
        code, _ = failure.stack.up("1.1.0")
        assert code == 0
        assert failure.after == failure.before
        assert failure.stack.job_uids() == failure.jobs, "no Job ran, and the failed one is gone"


def test_same_version_runs_its_migration_again_once_the_cause_is_repaired(stack: Stack) -> None:
    stack.deployed("1.6.0")
    stack.sql("CREATE SCHEMA maintenance")
    stack.sql("CREATE TABLE maintenance.block ()")
    assert stack.up("1.7.0")[0] == 3
    failed = stack.job_uids()
    code, verdict = stack.up()
    assert code == 3, "the cause is still there, and the migration ran again to find it"
    assert verdict["modules"][0]["job"]["sqlstate"] == "55000"
    assert stack.job_uids() != failed
    stack.gate_held()
    stack.sql("DROP TABLE maintenance.block")
    stack.deployed("1.7.0")
    assert stack.serving() == "1.7.0"
    stack.gate_held()


def test_hanging_migration_ends_by_its_deadline(stack: Stack) -> None:
    stack.deployed("1.1.0")
    schema = stack.schema()
    stack.configure(migration={"activeDeadlineSeconds": 12})
    code, _ = stack.up("1.3.0")
    assert code == 3
    [job] = (j for j in stack.objects(Job) if j.metadata.name.startswith("ledger-1-3-0-migrate-"))
    [failed] = (c for c in job.status.conditions if c.type == "Failed")
    assert failed.reason == "DeadlineExceeded"
    assert (failed.lastTransitionTime - job.status.startTime).total_seconds() < 12 + 5
    stack.gate_held()
    assert stack.serving() == "1.1.0"
    wait_for(
        "the hanging session to be gone",
        lambda: (
            not stack.sql(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
            )
        ),
    )
    assert stack.schema() == schema


def test_unhealthy_version_never_gets_traffic(stack: Stack) -> None:
    stack.configure(progressDeadlineSeconds=10)
    stack.deployed("1.1.0")
    before = stack.pods("1.1.0")
    code, verdict = stack.up("1.4.0")
    assert code == 4
    assert verdict["outcome"] == "rollout_failed"
    assert stack.serving() == "1.1.0"
    assert stack.pods("1.1.0") == before
    assert stack.deployments()["ledger-1-4-0"] == 0
    stack.gate_held()
    stack.deployed("1.1.0")
    assert stack.deployments() == {"ledger-1-1-0": 1}


KILLED = [
    pytest.param("1.5.1", lambda s: s.job("1.5.1") == "active", id="mid-Job"),
    pytest.param("1.1.0", lambda s: "ledger-1-1-0" in s.deployments(), id="mid-rollout"),
    pytest.param("1.1.0", lambda s: s.serving() == "1.1.0", id="mid-delete"),
]


@pytest.mark.parametrize(("version", "moment"), KILLED)
def test_kill_9_converges_with_one_plain_command(stack: Stack, version: str, moment: Callable[[Stack], bool]) -> None:
    stack.configure(drainSeconds=4, **WITNESSED)
    stack.deployed("1.0.0")
    stack.configure(version=version)
    with stack.running("up", until=lambda: moment(stack), what="the moment") as process:
        if version == "1.5.1":
            uid = job_uid(stack, version)
        stack.kill(process)
    verdict = stack.deployed(version)
    assert verdict["outcome"] == "deployed"
    assert stack.serving() == version
    assert set(stack.deployments()) == {f"ledger-{version.replace('.', '-')}"}
    if version == "1.5.1":
        assert job_uid(stack, version) == uid, "the running Job was adopted"
        assert len(stack.sql("SELECT 1 FROM pg_tables WHERE tablename = 'exports'")) == 1
    stack.gate_held()


def job_uid(stack: Stack, version: str) -> str:
    """The UID of the one migration Job of a version."""
    (uid,) = [j.metadata.uid for j in stack.objects(Job) if f"{version.replace('.', '-')}-migrate" in j.metadata.name]
    return str(uid)


def test_ctrl_c_never_deletes_a_running_migration(stack: Stack) -> None:
    stack.deployed("1.0.0")
    stack.configure(version="1.5.1")
    with stack.running("up", until=lambda: stack.job("1.5.1") == "active", what="the migration to run") as process:
        uid = job_uid(stack, "1.5.1")
        os.kill(process.pid, signal.SIGINT)
        process.wait(timeout=120)
        assert process.returncode == 130
    assert stack.job("1.5.1") == "active", "the migration goes on"
    stack.gate_held()
    pods = {
        p.metadata.name
        for p in stack.api.list(Pod, namespace=stack.name, labels={"rollout.formance.com/version": "1.5.1"})
    }
    stack.deployed("1.5.1")
    assert stack.serving() == "1.5.1"
    ran = stack.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'exports'")
    assert ran == [(1,)]
    # The Job is either adopted or, once finished, made again by replaceUnready; the pod that ran was never killed.
    assert not [m for m in stack.events("Killing") if any(p in m for p in pods)], f"{uid} was disturbed"


def test_with_continue_on_error_the_module_that_fails_keeps_serving_and_the_other_is_upgraded(stack: Stack) -> None:
    stack.configure("payments", version="1.1.0")
    stack.deployed("1.1.0")
    before = stack.pods("1.1.0")
    stack.configure("payments", version="1.6.0")
    code, verdict = stack.up("1.2.0", "--continue-on-error")
    assert code == 3
    outcomes = {m["name"]: m["outcome"] for m in verdict["modules"]}
    assert outcomes == {"ledger": "migration_failed", "payments": "deployed"}
    stack.gate_held()
    assert (stack.serving("ledger"), stack.serving("payments")) == ("1.1.0", "1.6.0")
    assert stack.pods("1.1.0") == before
    stack.deployed("1.6.0")
    assert set(stack.deployments()) == {"ledger-1-6-0", "payments-1-6-0"}
    stack.gate_held()


def test_the_second_of_two_ups_is_told_who_holds_the_lock(stack: Stack) -> None:
    stack.deployed("1.0.0")
    stack.configure(version="1.5.1")
    with stack.running("up", until=lambda: stack.job("1.5.1") == "active", what="the migration to run") as first:
        code, verdict = stack.workspace.rollout("up")
        assert code == 5
        assert verdict["outcome"] == "locked"
        assert "pid" in str(verdict["error"])
        stack.gate_held()
        first.communicate(timeout=120)
        assert first.returncode == 0
    assert stack.serving() == "1.5.1"
    stack.gate_held()


class TestBadInput:
    """A clear error before anything moves."""

    def refused(self, stack: Stack, *args: str, **environment: str) -> str:
        before = stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.job_uids()
        exit_code, verdict = replace(stack.workspace, environment=environment).rollout("up", *args)
        assert (exit_code, verdict["outcome"]) == (2, "refused"), verdict
        assert (stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.job_uids()) == before
        text = str(verdict["error"])
        assert "Traceback" not in text
        return text

    def test_in_the_configuration(self, shared: Stack) -> None:
        stack = shared.at("1.1.0")
        assert "unknown module 'leger'" in self.refused(stack, "--set", "leger=1.2.0")
        assert "semantic version" in self.refused(stack, "--set", "ledger=1.2")
        stack.configure(replics=3)
        assert "did you mean replicas" in self.refused(stack)
        del stack.modules["ledger"]["replics"]
        stack.configure()
        stack.workspace.configure({"postgres": None})
        assert "no server is set" in self.refused(stack)

    def test_a_downgrade_is_refused_with_the_reason(self, shared: Stack) -> None:
        shared.at("1.1.0")
        assert "1.0.0 is older than 1.1.0" in self.refused(shared, "--set", "ledger=1.0.0")

    def test_an_unreachable_cluster(self, shared: Stack) -> None:
        shared.at("1.1.0")
        assert "cluster" in self.refused(shared, KUBECONFIG=str(shared.workspace.root / "nowhere"))

    def test_a_wrong_passphrase(self, shared: Stack) -> None:
        shared.at("1.1.0")
        assert "passphrase" in self.refused(shared, PULUMI_CONFIG_PASSPHRASE="wrong")

    def test_a_frozen_stack_refuses_every_change_and_says_why(self, shared: Stack) -> None:
        shared.at("1.1.0").workspace.configure({"freeze": "the end of the year"})
        assert "the end of the year" in self.refused(shared, "--set", "ledger=1.6.0")
        code, verdict = shared.workspace.rollout("destroy", "--yes")
        assert (code, verdict["outcome"]) == (2, "refused")
        assert shared.up()[1]["outcome"] == "unchanged"

    def test_set_is_written_when_accepted_with_comments_kept_and_not_when_refused(self, shared: Stack) -> None:
        file = shared.at("1.1.0").workspace.file
        file.write_text(f"# the team's own words\n{file.read_text()}")
        assert self.refused(shared, "--set", "ledger=1.0.0")
        assert "version: 1.1.0" in file.read_text()
        code, _ = shared.workspace.rollout("up", "--set", "ledger=1.6.0")
        assert code == 0
        assert "version: 1.6.0" in file.read_text()
        assert "# the team's own words" in file.read_text()
        assert [p.name for p in shared.workspace.root.glob(".*")] == []

    def test_a_downgrade_that_is_asked_for_is_done(self, shared: Stack) -> None:
        shared.at("1.6.0")
        code, verdict = shared.workspace.rollout("up", "--set", "ledger=1.1.0", "--allow-downgrade")
        assert (code, verdict["outcome"]) == (0, "deployed")
        assert shared.serving() == "1.1.0"

    def test_an_image_that_does_not_exist(self, shared: Stack) -> None:
        code, verdict = shared.at("1.1.0").up("9.9.9")
        assert code == 3
        assert "localhost/rollout/ledger:9.9.9" in str(verdict)
        assert shared.serving() == "1.1.0"

    def test_an_unreachable_database(self, stack: Stack) -> None:
        server = paths.postgres()
        stack.workspace.pulumi(
            "config",
            "set",
            "--secret",
            "--path",
            "rollout:postgres.uri",
            f"postgresql://x:y@{server.host}:1?sslmode=disable",
        )
        code, verdict = stack.up("1.0.0")
        assert code == 3
        assert f"{server.host}" in str(verdict)
        assert stack.deployments() == {}


def test_an_object_of_someone_else_is_not_taken_over(stack: Stack) -> None:
    stack.deployed("1.0.0")
    stack.api.create(ServiceAccount(metadata=ObjectMeta(name="payments", namespace=stack.name)))
    stack.configure("payments", version="1.0.0")
    code, verdict = stack.up()
    assert code != 0
    assert "was not made by this stack" in str(verdict)
