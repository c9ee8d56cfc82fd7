"""Pulumi's own commands, as the README shows them: the gate is part of the program, so it holds without `rollout` too."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap

from devkit import paths
from devkit.workspace import REPOSITORY, Workspace
from tests.cluster.stacks import Stack, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


def pulumi(stack: Stack, *args: str, workspace: Workspace | None = None) -> subprocess.CompletedProcess[str]:
    """Runs ``pulumi ...`` for the stack, whatever its exit code."""
    return (workspace or stack.workspace).pulumi(*args, "--stack", stack.name, check=False)


def up(stack: Stack, version: str) -> subprocess.CompletedProcess[str]:
    stack.configure(version=version)
    return pulumi(stack, "up", "--yes", "--skip-preview")


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


class TestOneStackByHand:
    """The life of a stack, in the order of the tests; each says with ``at`` what it begins with."""

    def test_up_installs_and_upgrades(self, shared: Stack) -> None:
        for version in ("1.0.0", "1.1.0"):
            done = up(shared, version)
            assert done.returncode == 0, said(done)
            assert shared.serving() == version
            assert set(shared.deployments()) == {f"ledger-{version.replace('.', '-')}"}
            shared.gate_held()

    def test_preview_shows_the_difference_and_moves_nothing(self, shared: Stack) -> None:
        shared.at("1.0.0")
        before = shared.fingerprints("1.0.0"), shared.job_uids()
        shared.configure(version="1.1.0")
        done = pulumi(shared, "preview", "--diff")
        assert done.returncode == 0, said(done)
        for line in (
            "+ kubernetes:batch/v1:Job: (create)",
            "+ kubernetes:apps/v1:Deployment: (create)",
            '~ app.kubernetes.io/version: "1.0.0" => "1.1.0"',
            "- kubernetes:apps/v1:Deployment: (delete)",
        ):
            assert line in done.stdout, done.stdout
        assert (shared.fingerprints("1.0.0"), shared.job_uids()) == before

    def test_a_failed_migration_halts_and_going_back_is_no_change(self, shared: Stack) -> None:
        shared.at("1.1.0")
        before = shared.fingerprints("1.1.0"), shared.pods("1.1.0"), shared.schema()
        jobs = shared.job_uids()
        failed = up(shared, "1.2.0")
        assert failed.returncode != 0
        assert "division by zero" in said(failed)
        assert (shared.fingerprints("1.1.0"), shared.pods("1.1.0"), shared.schema()) == before
        assert set(shared.deployments()) == {"ledger-1-1-0"}
        back = up(shared, "1.1.0")
        assert back.returncode == 0, said(back)
        assert (shared.fingerprints("1.1.0"), shared.pods("1.1.0"), shared.schema()) == before
        assert shared.job_uids() == jobs, "no Job ran, and the failed one is gone"

    def test_a_policy_pack_judges_what_is_previewed(self, shared: Stack) -> None:
        shared.at("1.1.0")
        good = pulumi(shared, "preview", "--policy-pack", str(REPOSITORY / "policies"))
        assert "rollout" in good.stdout
        assert "[mandatory]" in good.stdout, "a stack whose name is no environment's is held to production's rules"
        assert good.returncode != 0
        development = shared.workspace.root / "development.json"
        shutil.copy(REPOSITORY / "policies" / "config" / "dev.json", development)
        allowed = pulumi(
            shared, "preview", "--policy-pack", str(REPOSITORY / "policies"), "--policy-pack-config", str(development)
        )
        assert allowed.returncode == 0, said(allowed)
        assert "[mandatory]" not in allowed.stdout

    def test_what_was_changed_by_hand_is_seen_by_refresh_and_put_right_by_up(self, shared: Stack) -> None:
        shared.at("1.1.0")
        jobs = shared.job_uids()
        shared.api.delete(Deployment, "ledger-1-1-0", namespace=shared.name)
        wait_for("the Deployment to be gone", lambda: not shared.deployments())
        refreshed = pulumi(shared, "refresh", "--yes", "--skip-preview")
        assert refreshed.returncode == 0, said(refreshed)
        done = pulumi(shared, "up", "--yes", "--skip-preview")
        assert done.returncode == 0, said(done)
        assert shared.deployments() == {"ledger-1-1-0": 1}
        assert shared.job_uids() == jobs, "what is migrated is not migrated again"

    def test_no_credential_is_in_an_export(self, shared: Stack) -> None:
        shared.at("1.1.0")
        exported = pulumi(shared, "stack", "export")
        assert json.loads(exported.stdout)["deployment"]["resources"]
        assert paths.postgres().password not in exported.stdout

    def test_a_second_checkout_on_the_same_backend_finds_nothing_to_do(self, shared: Stack, tmp_path: Path) -> None:
        shared.at("1.1.0")
        for file in shared.workspace.root.glob("Pulumi*.yaml"):
            shutil.copy(file, tmp_path)
        backend = {"PULUMI_BACKEND_URL": f"file://{shared.workspace.root / 'state'}"}
        other = Workspace(tmp_path, shared.name, backend)
        done = pulumi(shared, "up", "--yes", "--skip-preview", "--expect-no-changes", workspace=other)
        assert done.returncode == 0, said(done)

    def test_destroy_needs_the_program_and_keeps_the_database(self, shared: Stack) -> None:
        shared.at("1.1.0")
        refused = pulumi(shared, "destroy", "--yes", "--skip-preview")
        assert refused.returncode != 0
        assert "--run-program" in said(refused)
        assert shared.serving() == "1.1.0"
        done = pulumi(shared, "destroy", "--yes", "--skip-preview", "--run-program")
        assert done.returncode == 0, said(done)
        assert not shared.deployments()
        assert shared.databases() == {f"{shared.name}-ledger"}


@pytest.fixture
def left_behind(tmp_path: Path) -> Iterator[set[int]]:
    """The processes that a test's engine left, by the folder that they run for; ended at the end, so that none is there."""
    found: set[int] = set()
    yield found
    for each in found:
        os.kill(each, signal.SIGKILL)


def processes_of(stack: Stack) -> set[int]:
    """Processes of this machine with the stack's folder in their environment."""
    mark = f"PULUMI_BACKEND_URL=file://{stack.workspace.root / 'state'}".encode()
    found = set()
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (each / "environ").read_bytes().split(b"\0"):
                found.add(int(each.name))
        except OSError:
            continue
    return found


def test_after_kill_9_of_the_engine_nothing_runs_on_and_cancel_lets_the_next_up_converge(
    stack: Stack, left_behind: set[int]
) -> None:
    assert up(stack, "1.0.0").returncode == 0
    stack.configure(version="1.5.1")
    process = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack.name],
        cwd=stack.workspace.root, env=stack.workspace.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for("the migration to run", lambda: stack.job("1.5.1") == "active" or process.poll() is not None)
        assert len(processes_of(stack)) > 1, "the engine, its program and its provider"
    finally:
        process.kill()
        process.communicate()
    try:
        wait_for("its program and its provider to end", lambda: not processes_of(stack), 15)
    finally:
        left_behind.update(processes_of(stack))
    locked = pulumi(stack, "up", "--yes", "--skip-preview")
    assert "currently locked by 1 lock" in said(locked)
    assert pulumi(stack, "cancel", "--yes").returncode == 0
    done = pulumi(stack, "up", "--yes", "--skip-preview")
    assert done.returncode == 0, said(done)
    assert stack.serving() == "1.5.1"
    stack.gate_held()
    assert len([m for m in stack.objects(ConfigMap) if m.metadata.name == "ledger-migrated"]) == 1
