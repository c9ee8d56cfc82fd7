"""The comment on a request: what it says, and that it is put there once, whatever the forge answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ci.comment import MARK, changed_rules, comment, heading, main
from ci.report import shortened
from devkit.workspace import REPOSITORY
from tests.unit.ci.served import served

OK, REFUSED = "### ✅ `{}`: previewed\n", "### ⛔ `{}`: refused\n"


def headings(text: str) -> list[str]:
    return [line.split("`")[1] for line in text.splitlines() if line.startswith("### ")]


def test_what_is_not_well_comes_first_and_then_production() -> None:
    reports = {"dev": REFUSED.format("dev"), "staging": OK.format("staging"), "prod": OK.format("prod")}
    assert headings(comment(reports, "")) == ["dev", "prod", "staging"]


def test_a_stack_without_a_report_is_told_first() -> None:
    text = comment({"dev": OK.format("dev"), "prod": ""}, "")
    assert headings(text) == ["prod", "dev"]
    assert "`prod`: no plan" in text


def test_a_long_report_leaves_room_for_the_others() -> None:
    long = (
        OK.format("dev")
        + "<details><summary>Plan</summary>\n\n```diff\n"
        + "+ Job j\n" * 20_000
        + "```\n\n</details>\n"
    )
    prod = OK.format("prod") + "x\n" * 5_000
    text = comment({"dev": long, "staging": long.replace("dev", "staging"), "prod": prod}, "head")
    assert 55_000 < len(text) < 60_000
    assert prod in text
    assert text.count("This is not all of it") == 2


def test_what_is_cut_ends_with_a_whole_line_and_nothing_open() -> None:
    report = (
        "### ✅\n<details><summary>Plan</summary>\n\n```diff\n"
        + "+ <details> 0123456789\n" * 100
        + "```\n\n</details>\n"
    )
    text = shortened(report, 600)
    assert len(text) <= 600
    assert text.count("```") == 2
    assert text.index("```\n\n</details>") < text.index("This is not all of it")
    assert "0123456789\n```" in text


def test_it_says_which_commit_and_run_it_is_of() -> None:
    text = heading(
        {"COMMIT": "abc", "GITHUB_RUN_ID": "7", "GITHUB_SERVER_URL": "https://x", "GITHUB_REPOSITORY": "o/r"}, ""
    )
    assert "Of commit abc by [this run](https://x/o/r/actions/runs/7), 20" in text
    assert "Of commit def by [this run](https://y/7)" in heading(
        {"CI_COMMIT_SHA": "def", "CI_PIPELINE_URL": "https://y/7"}, ""
    )


@pytest.fixture
def change(tmp_path: Path) -> Path:
    """A merge commit, as GitHub makes it, of a change of policies/config/prod.json and a README."""

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    git("init", "-q", "-b", "main")
    (tmp_path / "policies" / "config").mkdir(parents=True)
    (tmp_path / "policies" / "config" / "prod.json").write_text("{}")
    git("add", ".")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "change")
    (tmp_path / "policies" / "config" / "prod.json").write_text('{"all": "disabled"}')
    (tmp_path / "README.md").write_text("x")
    git("add", ".")
    git("commit", "-qm", "two")
    git("checkout", "-q", "main")
    git("merge", "-q", "--no-ff", "change")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("env", [{"PULL_REQUEST": "7"}, {"CI_MERGE_REQUEST_DIFF_BASE_SHA": "main^1", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "change"}])  # fmt: skip
def test_a_change_of_the_rules_it_is_judged_by_is_told(env: dict[str, str], change: Path) -> None:
    assert (
        changed_rules(env, change)
        == "⚠️ **This change changes the rules it is judged by**: `policies/config/prod.json`."
    )


@pytest.mark.slow
def test_a_change_of_other_things_is_not(change: Path) -> None:
    assert changed_rules({"CI_MERGE_REQUEST_DIFF_BASE_SHA": "HEAD"}, change) == ""
    assert "is not known" in changed_rules({"CI_MERGE_REQUEST_DIFF_BASE_SHA": "nowhere"}, change)


class Forge(HTTPServer):
    """Keeps comments as GitHub and GitLab do."""

    def __init__(self) -> None:
        self.notes = [self.note(n, "someone's", "someone") for n in range(100)]
        self.asked: list[str] = []
        self.user = "us"
        self.fails: list[tuple[str, int, dict[str, str]]] = []  # method or path, status and headers: one answer each
        super().__init__(("127.0.0.1", 0), _Answer)

    def note(self, number: int, body: str, author: str) -> dict[str, Any]:
        return {"id": number, "body": body, "user": {"login": author}, "author": {"username": author}}

    def ours(self) -> list[str]:
        return [n["body"] for n in self.notes if n["user"]["login"] in ("us", "github-actions[bot]")]


class _Answer(BaseHTTPRequestHandler):
    server: Forge

    def _do(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(self.command)
        assert "t0ken" in (self.headers["Authorization"] or self.headers["PRIVATE-TOKEN"])
        for fail in self.server.fails:
            if fail[0] in (self.command, path):
                self.server.fails.remove(fail)
                return self._answer({"message": "Resource not accessible"}, *fail[1:])
        if self.command == "GET" and path == "/user":
            return self._answer({"login": self.server.user, "username": self.server.user})
        if self.command == "GET":
            page = int(self.path.rpartition("=")[2])
            return self._answer(self.server.notes[(page - 1) * 100 : page * 100])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
        if self.command == "POST":
            self.server.notes.append(self.server.note(4711, body, self.server.user))
        else:
            next(n for n in self.server.notes if n["id"] == int(path.rpartition("/")[2]))["body"] = body
        return self._answer({})

    def _answer(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    do_GET = do_POST = do_PATCH = do_PUT = _do

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def forge() -> Iterator[Forge]:
    with served(Forge()) as server:
        yield server


GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "PULL_REQUEST": "7", "GITHUB_TOKEN": "t0ken"}
GITLAB = {"GITLAB_CI": "true", "CI_MERGE_REQUEST_PROJECT_ID": "1", "CI_MERGE_REQUEST_IID": "7", "GITLAB_TOKEN": "t0ken"}


@pytest.fixture(params=[GITHUB, GITLAB], ids=["github", "gitlab"])
def job(request: pytest.FixtureRequest, forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The variables of a job that comments, and the folder of its reports."""
    url = f"http://127.0.0.1:{forge.server_port}"
    for name, value in {**request.param, "GITHUB_API_URL": url, "CI_API_V4_URL": url}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "plan-dev").mkdir()
    (tmp_path / "plan-dev" / "dev.md").write_text(OK.format("dev"))
    return tmp_path


def test_later_reports_replace_the_first(job: Path, forge: Forge) -> None:
    assert main(str(job), ["dev", "prod"]) == 1, "there is no plan of prod"
    (job / "plan-dev" / "dev.md").write_text("second")
    main(str(job), ["dev", "prod"])
    assert [method for method in forge.asked if method != "GET"] in (["POST", "PATCH"], ["POST", "PUT"])
    (ours,) = forge.ours()
    assert "second" in ours
    assert "`prod`: no plan" in ours
    assert "✅" not in ours


@pytest.mark.parametrize(("report", "code"), [(OK, 0), ("### ⚠️ `{}`: checked", 0), (REFUSED, 1), ("", 1)])
def test_a_change_may_be_required_to_have_every_plan(report: str, code: int, job: Path) -> None:
    (job / "plan-dev" / "dev.md").write_text(report.format("dev"))
    assert main(str(job), ["dev"]) == code


def test_a_comment_of_somebody_else_that_looks_like_ours_is_left_alone(job: Path, forge: Forge) -> None:
    forge.notes.insert(0, forge.note(1, f"{MARK}\nall is well", "mallory"))
    assert main(str(job), ["dev"]) == 0
    assert forge.notes[0]["body"] == f"{MARK}\nall is well"
    assert len(forge.ours()) == 1


def test_our_comment_is_found_on_any_page(job: Path, forge: Forge) -> None:
    forge.notes += [forge.note(n, "someone's", "someone") for n in range(1200)]
    forge.notes.append(forge.note(99_999, f"{MARK}\nfirst", "us"))
    assert main(str(job), ["dev"]) == 0
    (ours,) = forge.ours()
    assert "first" not in ours


@pytest.mark.parametrize(
    "fail",
    [
        ("GET", 502, {"Retry-After": "0"}),
        ("POST", 500, {"Retry-After": "0"}),
        ("POST", 429, {"Retry-After": "0"}),
        ("POST", 403, {"Retry-After": "0", "X-RateLimit-Remaining": "0"}),
    ],
    ids=lambda fail: f"{fail[0]} {fail[1]}",
)
def test_what_fails_for_a_while_is_tried_again(fail: tuple[str, int, dict[str, str]], job: Path, forge: Forge) -> None:
    forge.fails = [fail, fail]
    assert main(str(job), ["dev"]) == 0
    assert len(forge.ours()) == 1


def test_what_fails_for_good_is_one_line(job: Path, forge: Forge, capsys: pytest.CaptureFixture[str]) -> None:
    forge.fails = [("POST", 403, {})]
    assert main(str(job), ["dev"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("the comment could not be made: POST http://")
    assert 'Forbidden: {"message": "Resource not accessible"}' in last
    forge.fails = [("GET", 503, {"Retry-After": "0"})] * 3
    assert main(str(job), ["dev"]) == 1


def test_a_comment_that_is_not_ours_to_change_any_more_is_made_anew(job: Path, forge: Forge) -> None:
    forge.notes.append(forge.note(1, f"{MARK}\nfirst", "us"))
    forge.fails = [("PATCH", 403, {}), ("PUT", 403, {})]
    assert main(str(job), ["dev"]) == 0
    assert len(forge.ours()) == 2


@pytest.mark.parametrize("job", [GITHUB], indirect=True)
def test_a_jobs_own_token_on_github_is_the_actions_bot(job: Path, forge: Forge) -> None:
    forge.user = "github-actions[bot]"
    forge.fails = [("/user", 403, {})] * 2
    assert main(str(job), ["dev"]) == main(str(job), ["dev"]) == 0
    assert len(forge.ours()) == 1


def test_a_missing_token_is_told(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITLAB_TOKEN", "")
    monkeypatch.setenv("GITHUB_TOKEN", "")
    assert main(str(job), ["dev"]) == 1
    assert "_TOKEN is not set for this" in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_prints_it_where_there_is_no_request(tmp_path: Path) -> None:
    environment = {**os.environ, "ROLLOUT_PYTHON": sys.executable, "PLANS": str(tmp_path)}
    script = REPOSITORY / "ci" / "comment"
    done = subprocess.run([script, "dev", "prod"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert headings(done.stdout) == ["prod", "dev"]
    assert subprocess.run([script], env=environment, capture_output=True, check=False).returncode == 2
