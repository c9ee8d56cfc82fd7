"""Which runs of a pipeline may not begin."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ci.guard import guard
from ci.refused import Refused
from ci.run import main


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def commits(tmp_path: Path) -> tuple[str, str]:
    """A repository o/r in the folder, with two commits on main."""
    folder = tmp_path / "o" / "r"
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    old = git(folder, "rev-parse", "HEAD")
    git(folder, "commit", "-q", "--allow-empty", "-m", "two")
    return old, git(folder, "rev-parse", "HEAD")


def github(tmp_path: Path, commit: str) -> dict[str, str]:
    return {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_SHA": commit,
        "GITHUB_SERVER_URL": f"file://{tmp_path}",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": "t0ken",
        "ROLLOUT_ENVIRONMENT": "prod",
    }


def gitlab(tmp_path: Path, commit: str) -> dict[str, str]:
    return {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_SHA": commit,
        "CI_REPOSITORY_URL": f"file://{tmp_path}/o/r",
        "ROLLOUT_ENVIRONMENT": "prod",
    }


@pytest.mark.slow
@pytest.mark.parametrize("forge", [github, gitlab])
@pytest.mark.parametrize("command", ["preview", "up"])
def test_an_older_commit_is_not_put_over_a_newer_one(
    forge: Callable[[Path, str], dict[str, str]], command: str, commits: tuple[str, str], tmp_path: Path
) -> None:
    old, new = commits
    guard(command, "prod", forge(tmp_path, new))
    with pytest.raises(Refused, match=f"of commit {old[:12]}, and refs/heads/main is at {new[:12]}"):
        guard(command, "prod", forge(tmp_path, old))


@pytest.mark.slow
def test_what_cannot_be_asked_is_not_taken_for_a_yes(commits: tuple[str, str], tmp_path: Path) -> None:
    url = f"file://gitlab-ci-token:hidden@{tmp_path}/nowhere"
    with pytest.raises(Refused, match="could not be asked") as refused:
        guard("up", "prod", {**gitlab(tmp_path, commits[1]), "CI_REPOSITORY_URL": url})
    assert "hidden" not in str(refused.value)
    git(tmp_path / "o" / "r", "branch", "a/refs/heads/gone", commits[1])
    with pytest.raises(Refused, match="no such branch"):
        guard("up", "prod", {**gitlab(tmp_path, commits[1]), "CI_COMMIT_BRANCH": "gone"})


def test_a_change_is_previewed_whatever_its_branch_is(tmp_path: Path) -> None:
    guard("preview", "prod", {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/7/merge"})
    guard("preview", "prod", {"CI": "true", "GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "7"})


@pytest.mark.parametrize("environment", [{}, {"ROLLOUT_ENVIRONMENT": ""}, {"ROLLOUT_ENVIRONMENT": "dev"}])
def test_an_environment_that_nobody_has_set_up_gets_no_update(environment: dict[str, str]) -> None:
    with pytest.raises(Refused, match="ROLLOUT_ENVIRONMENT"):
        guard("up", "prod", {"CI": "true", **environment})
    guard("preview", "prod", {"CI": "true", **environment})
    guard("up", "prod", environment)


def test_a_refused_run_begins_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("ROLLOUT_ENVIRONMENT", raising=False)
    monkeypatch.setenv("PLANS", str(tmp_path))
    assert main(["up", "prod"], lambda _: pytest.fail("it was begun")) == 2
    assert "ROLLOUT_ENVIRONMENT" in (tmp_path / "prod.md").read_text()
    assert json.loads((tmp_path / "prod.json").read_text())["outcome"] == "refused"
