"""What people read on a pull request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ci.report import report
from offline.workspace import REPOSITORY

PREVIEWED: dict[str, Any] = {
    "outcome": "previewed",
    "modules": [{"name": "ledger", "version": "1.1.0", "previous": "1.0.0", "outcome": "previewed", "detail": "migrate; create Deployment ledger-1-1-0", "job": None}],
    "changes": {"create": 3, "same": 9},
    "error": None,
    "notices": ["policy rollout/images-pinned: <b>|latest"],
}  # fmt: skip


def test_a_plan_says_what_moves_from_which_version_to_which() -> None:
    text = report("preview", "prod", PREVIEWED)
    assert text.startswith("### ✅ `prod`: previewed (3 create)")
    assert "| ledger | 1.0.0 | 1.1.0 | migrate; create Deployment ledger-1-1-0 |" in text
    assert "&lt;b>\\|latest" in text, "what a change says must not become markup"


def test_a_plan_tells_each_resource_and_what_differs_in_it() -> None:
    change = {"path": "spec.replicas", "old": "1", "new": "```2"}
    stack = {"module": "", "operation": "create", "kind": "Namespace", "name": "prod", "instead_of": "", "changes": []}
    plan: list[dict[str, Any]] = [
        {"module": "ledger", "operation": "create", "kind": "Job", "name": "j", "instead_of": "", "changes": []},
        {"module": "ledger", "operation": "update", "kind": "Service", "name": "s", "instead_of": "", "changes": [change]},
        {"module": "ledger", "operation": "delete", "kind": "Job", "name": "i", "instead_of": "", "changes": []},
        stack,
    ]  # fmt: skip
    text = report("preview", "prod", {**PREVIEWED, "plan": plan})
    said = "# ledger\n+ Job j\n! Service s\n!   spec.replicas: 1 -> '''2\n- Job i\n# the stack\n+ Namespace prod"
    assert f"```diff\n{said}\n```" in text, "what a change says must not end the fence"
    assert "<details open><summary>Plan: 4 resources</summary>" in text
    long = report("preview", "prod", {**PREVIEWED, "plan": [{**plan[1], "name": f"s{n}"} for n in range(30)]})
    assert "<details><summary>Plan: 30 resources</summary>" in long, "a long plan is folded"


def test_a_refusal_leads_with_its_reason() -> None:
    text = report("preview", "prod", {**PREVIEWED, "outcome": "refused", "error": "1 mandatory policy is not kept"})
    assert text.startswith("### ⛔ `prod`: refused")
    assert "1 mandatory policy is not kept" in text


def test_a_failed_migration_shows_its_cause() -> None:
    job = {
        "name": "j",
        "failed": True,
        "message": "division by zero",
        "sqlstate": "22012",
        "statement": "SELECT 1/0",
        "logs": ["line"],
    }
    module = {**PREVIEWED["modules"][0], "outcome": "migration_failed", "job": job}
    text = report("up", "prod", {**PREVIEWED, "outcome": "migration_failed", "modules": [module]})
    assert "❌" in text
    assert "SQLSTATE 22012\nSELECT 1/0\nline" in text


def test_no_verdict_is_told() -> None:
    assert "did not finish" in report("up", "dev", None)


class Forge(HTTPServer):
    """Keeps comments as GitHub and GitLab do."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = [{"id": n, "body": "someone's"} for n in range(100)]
        self.asked: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: Forge

    def _answer(self, value: object) -> None:
        self.server.asked.append((self.command, self.path.partition("?")[0]))
        assert "t0ken" in (self.headers["Authorization"] or self.headers["PRIVATE-TOKEN"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def _body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return found

    def do_GET(self) -> None:
        page = int(self.path.rpartition("=")[2])
        self._answer(self.server.notes[(page - 1) * 100 : page * 100])

    def do_POST(self) -> None:
        self.server.notes.append({"id": 4711, **self._body()})
        self._answer({})

    def do_PATCH(self) -> None:
        next(n for n in self.server.notes if n["id"] == int(self.path.rpartition("/")[2])).update(self._body())
        self._answer({})

    do_PUT = do_PATCH

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def forge() -> Iterator[Forge]:
    with Forge() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "PULL_REQUEST": "7", "GITHUB_TOKEN": "t0ken"}
GITLAB = {"GITLAB_CI": "true", "CI_PROJECT_ID": "1", "CI_MERGE_REQUEST_IID": "7", "GITLAB_TOKEN": "t0ken"}


@pytest.mark.slow
@pytest.mark.parametrize(("variables", "changes"), [(GITHUB, "PATCH"), (GITLAB, "PUT")], ids=["github", "gitlab"])
def test_later_reports_replace_the_first(variables: dict[str, str], changes: str, forge: Forge, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{forge.server_port}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "CI_", "GITLAB_"))}
    environment = {
        **kept,
        **variables,
        "GITHUB_API_URL": url,
        "CI_API_V4_URL": url,
        "ROLLOUT_PYTHON": sys.executable,
        "PLANS": str(tmp_path),
    }
    for text in ("first", "second"):
        (tmp_path / "dev.md").write_text(text)
        subprocess.run([REPOSITORY / "ci" / "comment"], env=environment, check=True, timeout=60)
    assert [method for method, _ in forge.asked if method != "GET"] == ["POST", changes]
    (ours,) = [n["body"] for n in forge.notes if n["id"] == 4711]
    assert "second" in ours
    assert "first" not in ours
