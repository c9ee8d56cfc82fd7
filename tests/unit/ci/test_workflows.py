"""The pipelines for users call scripts of this repository and nothing else, and the scripts do what the pipelines need."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from devkit.workspace import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted(p for p in (REPOSITORY / "ci").iterdir() if p.is_file() and not p.suffix and p.name != "common")


def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ROLLOUT_PYTHON": sys.executable, **more}
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
    change, rollout, gitlab = workflow("change"), workflow("rollout"), jobs_of_gitlab()
    assert set(change["preview"]["strategy"]["matrix"]["stack"]) == stacks
    assert {job["with"]["stack"] for job in rollout.values()} == stacks
    assert set(gitlab["preview"]["parallel"]["matrix"][0]["STACK"]) == stacks
    for kind in (".plan", ".up"):
        assert {j["variables"]["STACK"] for j in gitlab.values() if j.get("extends") == kind} == stacks
    commented = [line.split()[1:] for line in steps() if line.startswith("ci/comment ")]
    assert len(commented) == 2
    assert all(set(each) == stacks and each[-1] == "prod" for each in commented), "production is told first"


@functools.cache
def workflow(name: str) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load((REPOSITORY / f".github/workflows/{name}.yml").read_text())["jobs"]
    return jobs


@functools.cache
def jobs_of_gitlab() -> dict[str, Any]:
    content = yaml.safe_load((REPOSITORY / ".gitlab-ci.yml").read_text())
    return {name: job for name, job in content.items() if isinstance(job, dict)}


def holds(condition: str, name: str, values: Mapping[str, str | bool]) -> bool:
    """Evaluates a condition of either forge.

    Args:
        condition: of names, texts, ``==``, ``!=``, ``!``, ``&&`` and ``||``.
        name: pattern of a name in it.
        values: of the names; those that are not there are empty, as both forges have it.
    """
    quoted = r"'[^']*'|\"[^\"]*\""
    words = re.findall(rf"{quoted}|&&|\|\||==|!=|!|\(|\)|{name}", condition)
    assert "".join(words) == re.sub(r"\s", "", condition), "all of it is understood"
    known = {"&&": "and", "||": "or", "!": "not", "==": "==", "!=": "!=", "(": "(", ")": ")"}
    python = [known.get(w) or (w if w[0] in "'\"" else repr(values.get(w, ""))) for w in words]
    return bool(eval(" ".join(python), {"__builtins__": {}}))


def runs_on_github(name: str, job: str, **values: str | bool) -> bool:
    """Whether a job of GitHub would run, in a repository where the pipelines are on."""
    told = {
        "vars.ROLLOUT_PIPELINES": "on",
        "github.event_name": "pull_request",
        "github.repository": "o/r",
        "github.event.pull_request.head.repo.full_name": "o/r",
        "github.actor": "alice",
        "cancelled()": False,
        **values,
    }
    return holds(str(workflow(name)[job].get("if", "'yes'")), r"[a-zA-Z_.]+(?:\(\))?", told)


FORK = {"github.event.pull_request.head.repo.full_name": "mallory/r"}
NOBODY = [FORK, {"github.actor": "dependabot[bot]"}, {"vars.ROLLOUT_PIPELINES": ""}]


def test_a_change_is_previewed_and_commented_on_github() -> None:
    for job in ("check", "preview", "comment"):
        assert runs_on_github("change", job), job
    assert runs_on_github("rollout", "dev")


@pytest.mark.parametrize("values", NOBODY, ids=["fork", "dependabot", "off"])
def test_a_change_that_gets_no_secret_is_only_checked_on_github(values: dict[str, str | bool]) -> None:
    assert runs_on_github("change", "check", **values)
    assert not runs_on_github("change", "preview", **values)
    assert not runs_on_github("change", "comment", **values)


def test_a_merge_queue_is_only_checked() -> None:
    queue: dict[str, str | bool] = {
        "github.event_name": "merge_group",
        "github.event.pull_request.head.repo.full_name": "",
    }
    assert runs_on_github("change", "check", **queue)
    assert not runs_on_github("change", "preview", **queue)
    assert not runs_on_github("change", "comment", **queue)


def test_nothing_is_rolled_out_where_nobody_has_set_it_up() -> None:
    assert not runs_on_github("rollout", "dev", **{"vars.ROLLOUT_PIPELINES": ""})
    assert all(job.get("needs") for name, job in workflow("rollout").items() if name != "dev"), "they follow it"


def jobs_on_gitlab(**variables: str) -> set[str]:
    """The jobs that a pipeline of GitLab would have, in a project where the pipelines are on."""
    given: dict[str, str | bool] = {"ROLLOUT_PIPELINES": "on", "CI_DEFAULT_BRANCH": "main", **variables}
    told = {f"${name}": value for name, value in given.items()}
    jobs = jobs_of_gitlab()
    rules = {n: j.get("rules") or jobs.get(str(j.get("extends")), {}).get("rules") or () for n, j in jobs.items()}
    known = {
        name for name, job in jobs.items() if not name.startswith(".") and (job.get("script") or job.get("extends"))
    }
    return {name for name in known if any(holds(rule["if"], r"\$\w+", told) for rule in rules[name])}


MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1",
}
UPDATES = {"plan dev", "dev", "plan staging", "staging", "plan prod", "prod"}


def test_a_change_is_previewed_and_commented_on_gitlab() -> None:
    assert jobs_on_gitlab(**MERGE_REQUEST) == {"check", "preview", "comment"}


@pytest.mark.parametrize("project", ["1", "2"], ids=["run by a member", "run in the fork"])
def test_a_change_from_a_fork_is_only_checked_on_gitlab(project: str) -> None:
    fork = {**MERGE_REQUEST, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2", "CI_PROJECT_ID": project}
    assert jobs_on_gitlab(**fork) == {"check"}


def test_only_what_is_merged_is_rolled_out_on_gitlab() -> None:
    assert jobs_on_gitlab(CI_PIPELINE_SOURCE="push", CI_COMMIT_BRANCH="main") == {"check", *UPDATES}
    assert jobs_on_gitlab(CI_PIPELINE_SOURCE="push", CI_COMMIT_BRANCH="main", ROLLOUT_PIPELINES="") == {"check"}
    assert jobs_on_gitlab(CI_PIPELINE_SOURCE="push", CI_COMMIT_BRANCH="other") == set()
    for source in ("schedule", "web", "api", "trigger"):
        assert jobs_on_gitlab(CI_PIPELINE_SOURCE=source, CI_COMMIT_BRANCH="main") == set()


def test_every_update_follows_its_plan_and_the_stack_before_it() -> None:
    jobs = jobs_of_gitlab()
    assert [jobs[n].get("needs") for n in ("dev", "plan staging", "staging", "plan prod", "prod")] == [
        ["plan dev"], ["dev"], ["plan staging"], ["staging"], ["plan prod"],
    ]  # fmt: skip
    assert workflow("up")["up"]["needs"] == "plan"
    assert all(jobs[n]["rules"][0]["when"] == "manual" for n in ("staging", "prod"))


def test_secrets_reach_the_step_that_needs_them_and_no_other() -> None:
    for file in WORKFLOWS:
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            assert "secrets." not in json.dumps({k: v for k, v in job.items() if k != "steps"}), name
            for step in job.get("steps", ()):
                if "secrets." in json.dumps(step):
                    assert step["run"] in ('exec ci/preview "$STACK"', 'exec ci/up "$STACK"')


def test_every_variable_that_is_to_be_set_is_documented() -> None:
    text = "".join(file.read_text() for file in WORKFLOWS) + (REPOSITORY / ".gitlab-ci.yml").read_text()
    names = set(re.findall(r"(?:vars|secrets)\.([A-Z_]+)|\$(ROLLOUT_\w+)", text))
    documented = (REPOSITORY / "docs" / "ci.md").read_text()
    assert {a or b for a, b in names if f"`{a or b}`" not in documented} == set()


def test_actions_are_those_of_one_commit() -> None:
    used = [line.strip() for file in WORKFLOWS for line in file.read_text().splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.fullmatch(r"(- )?uses: (\./\.github/workflows/\w+\.yml|[\w/-]+@[0-9a-f]{40} # v[\d.]+)", line), line


@pytest.mark.slow
def test_check_judges_every_stack() -> None:
    done = run("ci/check", "--json")
    assert done.returncode == 0, done.stderr
    assert {r["stack"] for r in json.loads(done.stdout)["stacks"]} == {"dev", "staging", "prod"}


@pytest.mark.slow
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


ARCHIVE = f"pulumi-v3.274.1-linux-{ {'x86_64': 'x64', 'aarch64': 'arm64'}[os.uname().machine] }.tar.gz"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release of Pulumi, and a curl that has nothing else."""
    release, tools = tmp_path / "release", tmp_path / "tools"
    (tmp_path / "pulumi").mkdir(parents=True)
    (tmp_path / "pulumi" / "pulumi").write_text("#!/bin/sh\necho v3.274.1\n")
    (tmp_path / "pulumi" / "pulumi").chmod(0o755)
    release.mkdir()
    tools.mkdir()
    subprocess.run(["tar", "-czf", release / ARCHIVE, "pulumi"], cwd=tmp_path, check=True)
    digest = hashlib.sha256((release / ARCHIVE).read_bytes()).hexdigest()
    (release / "pulumi-3.274.1-checksums.txt").write_text(f"{'0' * 64}  other.tar.gz\n{digest}  {ARCHIVE}\n")
    (tools / "curl").write_text(
        '#!/bin/bash\nwhile [ "$1" != --output ]; do shift; done\nexec cp "${0%/*}/../release/${3##*/}" "$2"\n'
    )
    (tools / "curl").chmod(0o755)
    return release


def install(release: Path) -> subprocess.CompletedProcess[str]:
    tools, home = release.parent / "tools", release.parent / "home"
    home.mkdir()
    (release.parent / "ci").mkdir()
    script = release.parent / "ci" / "pulumi"
    script.write_text((REPOSITORY / "ci" / "pulumi").read_text())
    if (release.parent / "pulumi.sha256").exists():
        (release.parent / "pulumi.sha256").rename(script.with_suffix(".sha256"))
    path = f"{tools}:/usr/bin:/bin"
    return run("bash", str(script), PATH=path, HOME=str(home), GITHUB_PATH=str(home / "path"))


@pytest.mark.slow
def test_the_cli_is_installed_where_its_checksum_is_right(release: Path) -> None:
    done = install(release)
    assert done.returncode == 0, done.stderr
    folder = release.parent / "home" / ".pulumi" / "bin"
    assert run(str(folder / "pulumi")).stdout == "v3.274.1\n"
    assert (release.parent / "home" / "path").read_text() == f"{folder}\n"


@pytest.mark.slow
@pytest.mark.parametrize("sums", ["", f"{'0' * 64}  {ARCHIVE}\n", f"{'0' * 64}  other.tar.gz\n"])
def test_a_cli_that_is_another_than_it_should_be_is_not_installed(sums: str, release: Path) -> None:
    if sums:
        (release.parent / "pulumi.sha256").write_text(sums)
    else:
        with (release / ARCHIVE).open("ab") as file:
            file.write(b"more")
    assert install(release).returncode != 0
    assert not (release.parent / "home" / ".pulumi").exists()
