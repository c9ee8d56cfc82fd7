"""The pipelines' own scripts against a real cluster: a change is previewed, refused or rolled out, and reported."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from lightkube import Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace

from automation.check import check_state
from devkit.workspace import REPOSITORY, Workspace
from tests.cluster.pipeline_access import access, token
from tests.cluster.stacks import WITNESSED, Stack, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


_number = itertools.count(1)


@pytest.fixture
def of_environment(api: Client, tmp_path: Path) -> Iterator[Callable[[str], Stack]]:
    """Makes stacks that are held to an environment's rules."""
    made: list[Stack] = []

    def make(environment: str) -> Stack:
        name = f"{environment}-{os.getpid() % 10_000}-{next(_number)}"
        made.append(Stack(Workspace.create(tmp_path / name, name, {}), api))
        made[-1].configure(version="1.0.0", **WITNESSED)
        return made[-1]

    yield make
    for stack in made:
        stack.remove()


def exists(stack: Stack) -> bool:
    """Whether anything of the stack is in the cluster: its namespace is made first."""
    return stack.name in [n.metadata.name for n in stack.api.list(Namespace) if n.metadata]


def job(stack: Stack, **more: str) -> dict[str, str]:
    """The variables of a pipeline's job. Not those of the job that this test runs in, which is no environment of that pipeline."""
    kept = {
        k: v for k, v in stack.workspace.env.items() if k != "CI" and not k.startswith(("CI_", "GITHUB_", "GITLAB_"))
    }
    return {**kept, "PROJECT": str(stack.workspace.root), "PLANS": str(stack.workspace.root / "plans"), **more}


def report(stack: Stack) -> str:
    return (stack.workspace.root / "plans" / f"{stack.name}.md").read_text()


def script(stack: Stack, name: str, **more: str) -> tuple[int, str]:
    """Runs ``ci/NAME STACK`` as a pipeline does, and returns its exit code and the report it leaves."""
    done = subprocess.run(
        [REPOSITORY / "ci" / name, stack.name],
        env=job(stack, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return done.returncode, report(stack)


def judged(stack: Stack) -> list[str]:
    """What the policies say of the state, without running the program."""
    file = stack.workspace.root / "state.json"
    stack.workspace.pulumi("stack", "export", "--stack", stack.name, "--file", str(file))
    return [f.message for f in check_state(file, stack.name).findings]


@pytest.mark.long
def test_a_pipeline_previews_and_rolls_out_and_tells_of_both(of_environment: Callable[[str], Stack]) -> None:
    stack = of_environment("dev")
    code, told = script(stack, "preview")
    assert (code, exists(stack)) == (0, False), told
    assert "previewed" in told
    code, told = script(stack, "up")
    assert code == 0, told
    assert "| `ledger` | `-` | `1.0.0` |" in told
    assert "note: policy" not in told, "what the cluster fills in violates no rule either"
    assert judged(stack) == []
    stack.configure(version="1.2.0")
    code, told = script(stack, "up")
    assert code == 3
    assert "SQLSTATE 22012" in told


@pytest.mark.long
def test_the_roles_of_the_documentation_are_enough(of_environment: Callable[[str], Stack], api: Client) -> None:
    stack = of_environment("dev")
    stack.workspace.configure({"namespace": {"create": False}})
    api.create(Namespace(metadata=ObjectMeta(name=stack.name)))
    cluster = yaml.safe_load(Path(stack.workspace.env["KUBECONFIG"]).read_text())

    def kubeconfig(account: str) -> str:
        """What a pipeline is given: the credentials of a service account and no others."""
        users = [{**user, "user": {"token": token(api, stack.name, account)}} for user in cluster["users"]]
        return yaml.safe_dump({**cluster, "users": users})

    stack.configure(version="1.0.0", rehearse="schema")
    with access(api, stack.name):
        for version in ("1.0.0", "1.1.0"):
            stack.configure(version=version)
            code, told = script(stack, "preview", KUBECONFIG_CONTENT=kubeconfig("rollout-preview"))
            assert code == 0, told
            code, told = script(stack, "up", KUBECONFIG_CONTENT=kubeconfig("rollout-up"))
            assert code == 0, told
    assert "rehearsed in" in told
    assert stack.serving() == "1.1.0"


@pytest.mark.long
def test_a_cancelled_job_leaves_no_lock_and_the_next_goes_on(of_environment: Callable[[str], Stack]) -> None:
    stack = of_environment("dev")
    assert script(stack, "up")[0] == 0
    stack.configure(version="1.5.1")  # whose migration takes its time
    step = stack.workspace.root / "step.sh"  # as GitHub writes it, which signals the first process of a step
    step.write_text(f"exec {REPOSITORY}/ci/up {stack.name}")
    process = subprocess.Popen(["bash", "-e", step], env=job(stack), stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for("the migration to run", lambda: stack.job("1.5.1") == "active" or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert "the next run waits for it" in report(stack)
    assert list((stack.workspace.root / "state" / ".pulumi" / "locks").rglob("*.json")) == []
    code, told = script(stack, "up")
    assert code == 0, told
    assert stack.serving() == "1.5.1"


def test_a_policy_refuses_before_anything_moves(of_environment: Callable[[str], Stack]) -> None:
    stack = of_environment("prod")  # which allows no local images
    code, told = script(stack, "up")
    assert code == 2
    assert "registry that is not allowed" in told
    assert not exists(stack)
