"""The `rollout` command as people and CI meet it: what it says, when, in which order, and with which exit code."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod

import automation
from automation import wording
from automation.verdict import Outcome, Verdict
from devkit.workspace import REPOSITORY
from tests.cluster.stacks import Stack, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


@dataclass(frozen=True)
class Line:
    """A line of a command's output and when it came, in seconds since its start."""

    at: float
    text: str


def narrated(stack: Stack, *arguments: str) -> tuple[int, str, list[Line]]:
    """Runs `rollout`; returns its exit code, its stdout and the timed lines of its stderr."""
    started = time.monotonic()
    process = stack.workspace.start(*arguments)
    assert process.stderr is not None
    assert process.stdout is not None
    lines: list[Line] = []

    def read(stream: Iterator[str]) -> None:
        lines.extend(Line(time.monotonic() - started, line.rstrip("\n")) for line in stream)

    reader = threading.Thread(target=read, args=(process.stderr,))
    reader.start()
    stdout = process.stdout.read()
    reader.join()
    process.stdout.close()
    process.stderr.close()
    return process.wait(), stdout, lines


class TestOneStack:
    def test_progress_is_one_line_for_each_change_in_the_order_of_the_gate(self, shared: Stack) -> None:
        shared.at("1.0.0")
        code, stdout, lines = narrated(shared, "up", "--set", "ledger=1.1.0")
        assert code == 0
        said = "\n".join(line.text for line in lines)
        order = [
            "migration to 1.1.0: Job ledger-1-1-0-migrate-",
            "migration to 1.1.0: done",
            "starting 1.1.0",
            "1.1.0 is healthy",
            "traffic goes to 1.1.0",
            "draining 1.0.0",
            "1.0.0 removed",
        ]
        places = [said.find(each) for each in order]
        assert -1 not in places, said
        assert places == sorted(places), said
        assert stdout.splitlines()[0] == "ledger 1.0.0 -> 1.1.0: deployed, serving (1/1 ready)"

    def test_preview_changes_nothing_and_says_what_would_be_done(self, shared: Stack) -> None:
        file = shared.at("1.1.0").workspace.file
        before = file.read_bytes(), shared.job_uids(), shared.fingerprints("1.1.0")
        code, verdict = shared.workspace.rollout("preview", "--set", "ledger=1.6.0")
        assert (code, verdict["outcome"]) == (0, "previewed")
        assert "migrate" in verdict["modules"][0]["detail"]
        assert (file.read_bytes(), shared.job_uids(), shared.fingerprints("1.1.0")) == before

    def test_the_lock_of_a_dead_process_is_removed_with_a_notice(self, shared: Stack) -> None:
        shared.at("1.1.0")
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        folder = shared.workspace.root / "state/.pulumi/locks/organization/rollout" / shared.name
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "pid": dead.pid,
            "username": pwd.getpwuid(os.getuid()).pw_name,
            "hostname": socket.gethostname(),
            "timestamp": "2026-01-01T00:00:00Z",
        }
        (folder / "1.json").write_text(json.dumps(content))
        code, verdict = shared.up()
        assert (code, verdict["outcome"]) == (5, "locked"), "nobody knows where it was taken"
        signatures = shared.workspace.root / "state/.pulumi/rollout/locks"
        signatures.mkdir(parents=True, exist_ok=True)
        here = {
            "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "namespace": str(Path("/proc/self/ns/pid").readlink()),
        }
        signed = {**here, "pid": content["pid"], "since": content["timestamp"]}
        (signatures / "1.json").write_text(json.dumps(signed))
        code, verdict = shared.up()
        assert code == 0
        assert str(dead.pid) in verdict["notices"][0]
        (folder / "2.json").write_text(json.dumps({**content, "hostname": "elsewhere"}))
        code, verdict = shared.up()
        assert (code, verdict["outcome"]) == (5, "locked")
        assert "elsewhere" in verdict["lock"]
        (folder / "2.json").unlink()


def told(stack: Stack, text: str, *arguments: str) -> float:
    """When `rollout up` first said `text`, in seconds since the epoch; the command has ended since."""
    process = stack.workspace.start("up", *arguments)
    assert process.stderr is not None
    shown = next((time.time() for line in process.stderr if text in line), None)
    process.communicate(timeout=120)
    assert shown is not None, f"{text!r} was never said"
    return shown


def created(stack: Stack, kind: Any, beginning: str) -> float:
    """When the one object of a kind whose name begins so was created."""
    (found,) = (o for o in stack.objects(kind) if o.metadata.name.startswith(beginning))
    return float(found.metadata.creationTimestamp.timestamp())


# The API server and the kubelet write whole seconds, rounded down: hence one second more in each of these bounds.
@pytest.mark.measures
class TestInTime:
    def test_the_cause_of_a_failed_migration_is_told_within_two_seconds_of_the_pods_end(self, shared: Stack) -> None:
        shown = told(shared.at("1.1.0"), "migration failed", "--set", "ledger=1.2.0")
        (pod,) = (p for p in shared.objects(Pod) if p.metadata.name.startswith("ledger-1-2-0-migrate-"))
        assert shown - pod.status.containerStatuses[0].state.terminated.finishedAt.timestamp() < 3

    def test_a_missing_image_is_told_within_15_seconds_of_the_migrations_pod(self, shared: Stack) -> None:
        shown = told(shared.at("1.1.0"), "ImagePull", "--set", "ledger=9.9.9")
        assert shown - created(shared, Job, "ledger-9-9-9-migrate-") < 16

    @pytest.mark.long
    def test_a_missing_image_is_told_within_15_seconds_where_there_is_no_migration(self, stack: Stack) -> None:
        stack.configure(database=False, image="localhost/busybox", version="9.9.9", args=["sleep", "1000"])
        shown = told(stack, "ImagePull")
        assert shown - created(stack, Deployment, "ledger-9-9-9") < 16

    @pytest.mark.long
    def test_no_room_on_any_node_is_told_within_15_seconds(self, shared: Stack) -> None:
        shared.at("1.1.0")
        shared.configure(database=False, version="1.6.0", resources={"requests": {"cpu": "4000"}})
        shown = told(shared, "Unschedulable")
        assert shown - created(shared, Deployment, "ledger-1-6-0") < 16
        assert shared.serving() == "1.1.0"

    def test_a_no_op_takes_one_preview_and_tells_what_serves(self, shared: Stack) -> None:
        shared.at("1.1.0")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code, verdict = shared.up()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (code, verdict["outcome"]) == (0, "unchanged")
        assert verdict["modules"][0]["serving"] == {"version": "1.1.0", "ready": 1, "desired": 1}
        # Processor time: the machine may have other things to do. An update on top of the preview would double it.
        assert after.ru_utime - before.ru_utime < 4.0


@pytest.mark.long
def test_sigterm_ends_like_ctrl_c(stack: Stack) -> None:
    stack.deployed("1.0.0")
    stack.configure(version="1.5.1")
    with stack.running("up", until=lambda: stack.job("1.5.1") == "active", what="the migration to run") as process:
        os.kill(process.pid, signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "is still running" in stdout
    assert "previous version 1.0.0 still serving (1/1 ready)" in stdout
    assert "Traceback" not in stdout + stderr
    assert not list((stack.workspace.root / "state/.pulumi/locks").rglob("*.json"))
    wait_for("the migration to end by itself", lambda: stack.job("1.5.1") == "succeeded")


@pytest.mark.long
def test_an_engine_ended_by_someone_else_is_a_cancelled_run_that_the_next_one_continues(stack: Stack) -> None:
    stack.deployed("1.0.0")
    stack.configure(version="1.5.1")
    with stack.running(
        "up", "--json", until=lambda: stack.job("1.5.1") == "active", what="the migration to run"
    ) as process:
        [lock] = (stack.workspace.root / "state/.pulumi/locks").rglob("*.json")
        os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
        stdout, _ = process.communicate(timeout=120)
    verdict = json.loads(stdout)
    assert (process.returncode, verdict["outcome"]) == (130, "cancelled")
    assert "SIGKILL" in verdict["error"]
    stack.deployed("1.5.1")


def test_a_preview_reads_the_sql_files_of_what_will_migrate(stack: Stack) -> None:
    folder = stack.workspace.root / "sql"
    shutil.copytree(REPOSITORY / "devkit/sample/sql/1.5.0", folder)
    stack.configure(version="1.0.0", migration={"sql": "sql"})
    code, verdict = stack.workspace.rollout("preview")
    assert (code, verdict["outcome"]) == (0, "previewed")
    [said] = [n for n in verdict["notices"] if n.startswith("ledger: sql/")]
    assert said.startswith("ledger: sql/0150_drop_reference.sql:3: Dropping a column")
    assert said.endswith("[ban-drop-column]")
    (folder / "0151_index.sql").write_text("CREATE INDEX CONCURRENTLY ledger_index ON postings (id);\n")
    code, verdict = stack.up()
    assert (code, verdict["outcome"]) == (2, "refused")
    assert (
        "sql/0151_index.sql:1: PostgreSQL refuses CREATE INDEX CONCURRENTLY inside of a transaction (25001)"
        in verdict["error"]
    )
    # A pack that only advises does not take the place of what refuses.
    pack = shutil.copytree(REPOSITORY / "policies", stack.workspace.root / "policies")
    (pack / "config" / "prod.json").write_text('{"all": "advisory"}')
    code, verdict = stack.up(None, "--policy-pack", str(pack))
    assert (code, verdict["outcome"]) == (2, "refused")
    assert "sql/0151_index.sql:1: PostgreSQL refuses" in verdict["error"]


def test_a_preview_tells_of_each_resource_of_what_is_removed_and_of_a_migration_that_runs_again(stack: Stack) -> None:
    stack.configure("second", version="1.0.0")
    stack.deployed("1.0.0")
    # Another image of the same version: its Job takes the other's place, and migrates.
    stack.configure(image="localhost/elsewhere/ledger")
    _, verdict = stack.workspace.rollout("preview")
    assert verdict["modules"][0]["detail"] == "migrate; change Deployment ledger-1-0-0"
    assert ("replace", "Job") in [(p["operation"], p["kind"]) for p in verdict["plan"]]
    # A new version with more memory, and a module less.
    stack.configure(image="localhost/rollout/ledger", version="1.1.0", resources={"limits": {"memory": "300Mi"}})
    stack.modules.pop("second")
    stack.workspace.configure({"modules": stack.modules})
    said = stack.workspace.start("preview").communicate(timeout=120)[0].splitlines()
    at = said.index("  + Deployment ledger-1-1-0 (compared with ledger-1-0-0)")
    assert said[at + 1] == "      spec.template.spec.containers[ledger].resources.limits.memory: 256Mi -> 300Mi"
    assert not said[at + 2].startswith("      "), "what differs by the version alone is not told"
    assert "second 1.0.0: removed; its database is kept" in said
    assert any(line.startswith("  - ") and "Service second" in line for line in said)
    code, verdict = stack.up()
    assert (code, verdict["outcome"]) == (0, "deployed")
    assert {m["name"]: m["outcome"] for m in verdict["modules"]} == {"ledger": "deployed", "second": "destroyed"}


def test_a_state_that_is_empty_where_something_serves_is_told(stack: Stack, tmp_path: Path) -> None:
    stack.deployed("1.0.0")
    elsewhere = {**stack.workspace.environment, "PULUMI_BACKEND_URL": f"file://{tmp_path}"}
    _, verdict = dataclasses.replace(stack.workspace, environment=elsewhere).rollout("preview")
    assert verdict["notices"] == [
        f"stack {stack.name} was not in the backend, and was made there, empty",
        "the stack's state is empty, though ledger 1.0.0 serves in the cluster: is PULUMI_BACKEND_URL that of the last update?",
    ]


def _update_at_once(stacks: list[tuple[str, Path, dict[str, str]]]) -> tuple[list[Verdict], list[list[str]]]:
    """What a portal does: a thread for each stack, in a process that has run no program before."""
    heard: list[list[str]] = [[] for _ in stacks]

    def update(number: int) -> Verdict:
        name, folder, environment = stacks[number]
        return automation.up(
            name, cwd=folder, environment=environment, on_progress=lambda p: heard[number].append(p.text)
        )

    with ThreadPoolExecutor(len(stacks)) as threads:
        verdicts = list(threads.map(update, range(len(stacks))))
    return verdicts, heard


@pytest.mark.long
def test_a_portal_updates_two_stacks_at_once_in_one_process(
    make_stack: Callable[[], Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks = [make_stack(), make_stack()]
    stacks[0].configure(version="1.1.0")
    monkeypatch.setenv("KUBECONFIG", stacks[0].workspace.env["KUBECONFIG"])
    arguments = [(s.name, s.workspace.root, _engine_environment(s)) for s in stacks]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as portal:
        verdicts, heard = portal.submit(_update_at_once, arguments).result(timeout=240)
    assert [v.outcome for v in verdicts] == [Outcome.DEPLOYED] * 2, [wording.text(v) for v in verdicts]
    assert any("traffic goes to 1.1.0" in text for text in heard[0])
    assert not any("1.1.0" in text for text in heard[1])
    assert [s.serving() for s in stacks] == ["1.1.0", "1.0.0"]
    for stack in stacks:
        found = automation.status(stack.name, cwd=stack.workspace.root, environment=_engine_environment(stack))
        assert found.modules[0].settled


def _engine_environment(stack: Stack) -> dict[str, str]:
    names = ("PATH", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_HOME")
    return {name: stack.workspace.env[name] for name in names}
