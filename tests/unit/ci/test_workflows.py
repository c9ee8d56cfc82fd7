"""The pipelines for users call scripts of this repository and nothing else, and the scripts do what the pipelines need."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from offline.workspace import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted(p for p in (REPOSITORY / "ci").iterdir() if p.is_file() and not p.suffix and p.name != "common")
# Without those of the job that runs this test: its summary and its comment are not for what is tested here.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith(("CI_", "GITHUB_", "GITLAB_"))}
ENVIRONMENT["ROLLOUT_PYTHON"] = sys.executable


def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**ENVIRONMENT, **more}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def steps() -> Iterator[str]:
    """What the jobs of GitHub and GitLab run, line by line."""
    for file in WORKFLOWS:
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            for step in job.get("steps", ()):
                yield from step.get("run", "").splitlines()
    for job in yaml.safe_load((REPOSITORY / ".gitlab-ci.yml").read_text()).values():
        if isinstance(job, dict):
            yield from (*job.get("before_script", ()), *job.get("script", ()))


def test_every_step_is_a_script_of_this_repository() -> None:
    lines = [line for line in steps() if not line.startswith("export PATH=")]
    assert lines
    for line in lines:
        script = REPOSITORY / next(word for word in shlex.split(line) if word != "exec")
        assert os.access(script, os.X_OK), line
        assert "${{" not in line, "text of a change must not become part of a command"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_readable_by_bash(script: Path) -> None:
    assert run("bash", "-n", str(script)).returncode == 0
    assert os.access(script, os.X_OK)


def test_both_pipelines_know_every_stack() -> None:
    stacks = {p.name.split(".")[1] for p in REPOSITORY.glob("Pulumi.*.yaml")}
    change = yaml.safe_load((REPOSITORY / ".github/workflows/change.yml").read_text())
    rollout = yaml.safe_load((REPOSITORY / ".github/workflows/rollout.yml").read_text())
    gitlab = yaml.safe_load((REPOSITORY / ".gitlab-ci.yml").read_text())
    assert set(change["jobs"]["preview"]["strategy"]["matrix"]["stack"]) == stacks
    commented = [line.split()[1:] for line in steps() if line.startswith("ci/comment ")]
    assert len(commented) == 2
    assert all(set(each) == stacks and each[-1] == "prod" for each in commented), "production is told first"
    assert {job["with"]["stack"] for job in rollout["jobs"].values()} == stacks
    assert set(gitlab["preview"]["parallel"]["matrix"][0]["STACK"]) == stacks
    assert {
        job["variables"]["STACK"] for job in gitlab.values() if isinstance(job, dict) and job.get("extends") == ".up"
    } == stacks


def test_a_change_from_a_fork_gets_no_secret() -> None:
    jobs: dict[str, Any] = yaml.safe_load((REPOSITORY / ".github/workflows/change.yml").read_text())["jobs"]
    for name, job in jobs.items():
        if "secrets." in json.dumps(job):
            assert "head.repo.full_name == github.repository" in job["if"], name


@pytest.mark.slow
def test_check_judges_every_stack() -> None:
    done = run("ci/check", "--json")
    assert done.returncode == 0, done.stderr
    assert {r["stack"] for r in json.loads(done.stdout)} == {"dev", "staging", "prod"}


@pytest.mark.parametrize("name", ["", "../x", "$(id)"])
def test_a_stack_must_have_a_name(name: str) -> None:
    done = run("ci/preview", name)
    assert done.returncode == 2
    assert "usage" in done.stderr


@pytest.mark.slow
def test_a_preview_that_cannot_start_leaves_a_report_and_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: rollout\nruntime: python\n")
    done = run("ci/preview", "prod", PROJECT=str(tmp_path), PLANS=str(tmp_path / "plans"))
    assert done.returncode == 2
    assert "Pulumi.prod.yaml" in (tmp_path / "plans" / "prod.md").read_text()
