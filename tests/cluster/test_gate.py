"""The gate on a real cluster with a real database: what a good upgrade does, and what a bad one must not do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psycopg
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod, ServiceAccount

from offline import paths
from tests.cluster.stacks import Stack, audit_lines, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


def test_first_install_creates_the_database_migrates_and_serves(stack: Stack) -> None:
    verdict = stack.deployed("1.0.0")
    assert verdict["outcome"] == "deployed"
    assert stack.serving() == "1.0.0"
    assert stack.deployments() == {"ledger-1-0-0": 1}
    assert stack.databases() == {f"{stack.name}-ledger"}


def test_upgrade_moves_to_the_new_version_and_removes_the_old_one(stack: Stack) -> None:
    stack.deployed("1.0.0")
    verdict = stack.deployed("1.1.0")
    assert verdict["modules"][0]["previous"] == "1.0.0"
    assert stack.serving() == "1.1.0"
    assert stack.deployments() == {"ledger-1-1-0": 1}
    assert list(stack.jobs().values()) == ["succeeded"], "the Job of the old version is cleaned up"


def test_failed_migration_leaves_the_previous_version_and_its_database_untouched(stack: Stack) -> None:
    stack.deployed("1.1.0")
    before = stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.schema()
    code, verdict = stack.up("1.2.0")
    assert code == 3
    assert verdict["outcome"] == "migration_failed"
    assert (stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.schema()) == before
    assert stack.serving() == "1.1.0"
    assert set(stack.deployments()) == {"ledger-1-1-0"}, "nothing of the new version was started"
    module = verdict["modules"][0]
    assert module["job"]["sqlstate"] == "22012"
    assert module["serving"] == {"version": "1.1.0", "ready": 1, "desired": 1}


def test_revert_is_a_no_op_for_the_version_that_serves(stack: Stack) -> None:
    stack.deployed("1.1.0")
    before = stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.job("1.1.0")
    jobs = stack.job_uids()
    assert stack.up("1.2.0")[0] == 3
    code, _ = stack.up("1.1.0")
    assert code == 0
    assert (stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.job("1.1.0")) == before
    assert stack.job_uids() == jobs, "no Job ran, and the failed one is gone"


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
    stack.sql("DROP TABLE maintenance.block")
    stack.deployed("1.7.0")
    assert stack.serving() == "1.7.0"


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
    stack.deployed("1.1.0")
    assert stack.deployments() == {"ledger-1-1-0": 1}


def test_setting_change_without_a_version_change_runs_no_job(stack: Stack) -> None:
    stack.deployed("1.1.0")
    jobs = stack.job_uids()
    stack.configure(replicas=2, env={"EXTRA": "1"})
    code, _ = stack.up()
    assert code == 0
    assert stack.job_uids() == jobs
    assert stack.deployments() == {"ledger-1-1-0": 2}


@pytest.mark.skipif("KUBE_CONTEXT" in os.environ, reason="the audit log is the offline cluster's")
def test_no_op_writes_nothing(stack: Stack) -> None:
    stack.deployed("1.1.0")
    log = paths.state_dir() / "audit.log"
    start = log.stat().st_size
    code, verdict = stack.up()
    assert (code, verdict["outcome"]) == (0, "unchanged")
    writes = [
        e
        for e in audit_lines(log, start)
        if e["verb"] in ("create", "update", "patch", "delete", "deletecollection")
        and (e.get("objectRef") or {}).get("namespace") == stack.name
        and not e["user"]["username"].startswith("system:")
    ]
    assert writes == []


KILLED = [
    pytest.param("1.5.1", lambda s: s.job("1.5.1") == "active", id="mid-Job"),
    pytest.param("1.1.0", lambda s: "ledger-1-1-0" in s.deployments(), id="mid-rollout"),
    pytest.param("1.1.0", lambda s: s.serving() == "1.1.0", id="mid-delete"),
]


@pytest.mark.parametrize(("version", "moment"), KILLED)
def test_kill_9_converges_with_one_plain_command(stack: Stack, version: str, moment: Callable[[Stack], bool]) -> None:
    stack.configure(drainSeconds=4)
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
    assert (stack.serving("ledger"), stack.serving("payments")) == ("1.1.0", "1.6.0")
    assert stack.pods("1.1.0") == before
    stack.deployed("1.6.0")
    assert set(stack.deployments()) == {"ledger-1-6-0", "payments-1-6-0"}


def test_the_second_of_two_ups_is_told_who_holds_the_lock(stack: Stack) -> None:
    stack.deployed("1.0.0")
    stack.configure(version="1.5.1")
    with stack.running("up", until=lambda: stack.job("1.5.1") == "active", what="the migration to run") as first:
        code, verdict = stack.workspace.rollout("up")
        assert code == 5
        assert verdict["outcome"] == "locked"
        assert "pid" in str(verdict["error"])
        first.communicate(timeout=120)
        assert first.returncode == 0
    assert stack.serving() == "1.5.1"


def test_destroy_keeps_the_database(stack: Stack) -> None:
    stack.deployed("1.1.0")
    schema = stack.schema()
    code, _ = stack.workspace.rollout("destroy", "--yes")
    assert code == 0
    assert stack.databases() == {f"{stack.name}-ledger"}
    assert stack.schema() == schema


class TestBadInput:
    """A clear error before anything moves."""

    def refused(self, stack: Stack, *args: str, code: int = 2) -> str:
        before = stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.job_uids()
        exit_code, verdict = stack.workspace.rollout("up", *args)
        assert exit_code == code, verdict
        assert (stack.fingerprints("1.1.0"), stack.pods("1.1.0"), stack.job_uids()) == before
        text = str(verdict["error"])
        assert "Traceback" not in text
        return text

    def test_in_the_configuration(self, stack: Stack) -> None:
        stack.deployed("1.1.0")
        assert "unknown module 'leger'" in self.refused(stack, "--set", "leger=1.2.0")
        assert "semantic version" in self.refused(stack, "--set", "ledger=1.2")
        stack.configure(replics=3)
        assert "did you mean replicas" in self.refused(stack)
        del stack.modules["ledger"]["replics"]
        stack.configure()
        stack.workspace.configure({"postgres": None})
        assert "no server is set" in self.refused(stack)

    def test_a_downgrade_is_refused_with_the_reason(self, stack: Stack) -> None:
        stack.deployed("1.1.0")
        assert "1.0.0 is older than 1.1.0" in self.refused(stack, "--set", "ledger=1.0.0")

    def test_an_unreachable_cluster(self, stack: Stack) -> None:
        stack.deployed("1.1.0")
        workspace = stack.workspace
        object.__setattr__(workspace, "environment", {"KUBECONFIG": str(workspace.root / "nowhere")})
        code, verdict = workspace.rollout("up")
        assert code == 2
        assert "cluster" in str(verdict["error"])

    def test_a_wrong_passphrase(self, stack: Stack) -> None:
        stack.deployed("1.1.0")
        object.__setattr__(stack.workspace, "environment", {"PULUMI_CONFIG_PASSPHRASE": "wrong"})
        code, verdict = stack.workspace.rollout("up")
        assert code == 2
        assert "passphrase" in str(verdict["error"])

    def test_an_image_that_does_not_exist(self, stack: Stack) -> None:
        stack.deployed("1.1.0")
        code, verdict = stack.up("9.9.9")
        assert code == 3
        assert "localhost/rollout/ledger:9.9.9" in str(verdict)
        assert stack.serving() == "1.1.0"

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


def test_a_password_is_nowhere_in_what_is_shown_or_stored(stack: Stack) -> None:
    stack.deployed("1.0.0")
    password = paths.postgres().password
    process = stack.workspace.start("up", "--set", "ledger=1.2.0")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 3
    shown = [stdout, stderr, stack.workspace.pulumi("stack", "export").stdout]
    shown += [p.read_text(errors="replace") for p in stack.workspace.root.rglob("*.json") if p.is_file()]
    assert [text[:200] for text in shown if password in text] == []


def test_first_lines_of_a_failed_migration_name_the_cause(stack: Stack) -> None:
    stack.deployed("1.1.0")
    process = stack.workspace.start("up", "--set", "ledger=1.2.0")
    stdout, stderr = process.communicate(timeout=120)
    text = stdout + stderr
    assert process.returncode == 3
    assert "Traceback" not in text
    for part in ("ledger", "1.2.0", "22012", "division by zero", "previous version 1.1.0 still serving (1/1 ready)"):
        assert part in text


def test_plain_pulumi_up_is_gated_too(stack: Stack) -> None:
    stack.deployed("1.1.0")
    before = stack.fingerprints("1.1.0")
    stack.configure(version="1.2.0")
    done = stack.workspace.pulumi("up", "--yes", "--skip-preview", "--stack", stack.name, check=False)
    assert done.returncode != 0
    assert stack.fingerprints("1.1.0") == before
    with psycopg.connect(paths.postgres().uri(f"{stack.name}-ledger")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
