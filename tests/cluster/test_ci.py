"""The pipelines' own scripts against a real cluster: a change is previewed, refused or rolled out, and reported."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from lightkube import Client
from lightkube.codecs import load_all_yaml
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, ServiceAccountToken

from automation.check import check_state
from offline.workspace import REPOSITORY, Workspace
from tests.cluster.stacks import WITNESSED, Stack

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


def script(stack: Stack, name: str, **more: str) -> tuple[int, str]:
    """Runs ``ci/NAME STACK`` as a pipeline does, and returns its exit code and the report it leaves."""
    plans = stack.workspace.root / "plans"
    # Not as the job that runs this test: this is no environment of its pipeline.
    kept = {
        k: v for k, v in stack.workspace.env.items() if k != "CI" and not k.startswith(("CI_", "GITHUB_", "GITLAB_"))
    }
    environment = {**kept, "PROJECT": str(stack.workspace.root), "PLANS": str(plans), **more}
    done = subprocess.run(
        [REPOSITORY / "ci" / name, stack.name],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return done.returncode, (plans / f"{stack.name}.md").read_text()


def judged(stack: Stack) -> list[str]:
    """What the policies say of the state, without running the program."""
    file = stack.workspace.root / "state.json"
    stack.workspace.pulumi("stack", "export", "--stack", stack.name, "--file", str(file))
    return [f.message for f in check_state(file, stack.name).findings]


@pytest.mark.long
def test_a_pipeline_previews_and_rolls_out_and_tells_of_both(of_environment: Callable[[str], Stack]) -> None:
    stack = of_environment("dev")
    code, report = script(stack, "preview")
    assert (code, exists(stack)) == (0, False), report
    assert "previewed" in report
    code, report = script(stack, "up")
    assert code == 0, report
    assert "| `ledger` | `-` | `1.0.0` |" in report
    assert "Advice" not in report, "what the cluster fills in violates no rule either"
    assert judged(stack) == []
    stack.configure(version="1.2.0")
    code, report = script(stack, "up")
    assert code == 3
    assert "SQLSTATE 22012" in report


@pytest.mark.long
def test_the_roles_of_the_documentation_are_enough(of_environment: Callable[[str], Stack], api: Client) -> None:
    stack = of_environment("dev")
    stack.workspace.configure({"namespace": {"create": False}})
    api.create(Namespace(metadata=ObjectMeta(name=stack.name)))
    for each in load_all_yaml((REPOSITORY / "ci" / "access.yaml").read_text().replace("NAMESPACE", stack.name)):
        api.create(each)
    cluster = yaml.safe_load(Path(stack.workspace.env["KUBECONFIG"]).read_text())

    def kubeconfig(account: str) -> str:
        """What a pipeline is given: the credentials of a service account and no others."""
        request = ServiceAccountToken(metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[]))
        answer = api.create(request, account, namespace=stack.name)
        assert answer.status
        users = [{**user, "user": {"token": answer.status.token}} for user in cluster["users"]]
        return yaml.safe_dump({**cluster, "users": users})

    stack.configure(version="1.0.0", rehearse="schema")
    for version in ("1.0.0", "1.1.0"):
        stack.configure(version=version)
        code, report = script(stack, "preview", KUBECONFIG_CONTENT=kubeconfig("rollout-preview"))
        assert code == 0, report
        code, report = script(stack, "up", KUBECONFIG_CONTENT=kubeconfig("rollout-up"))
        assert code == 0, report
    assert "rehearsed in" in report
    assert stack.serving() == "1.1.0"


def test_a_policy_refuses_before_anything_moves(of_environment: Callable[[str], Stack]) -> None:
    stack = of_environment("prod")  # which allows no local images
    code, report = script(stack, "up")
    assert code == 2
    assert "registry that is not allowed" in report
    assert not exists(stack)
