"""What a job is given to reach the cluster and the cloud."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ci import credentials as module
from ci.credentials import credentials
from ci.refused import Refused
from tests.unit.ci.served import served


def test_a_kubeconfig_is_a_file_of_this_process_only_and_ends_with_it(tmp_path: Path) -> None:
    environment = {"KUBECONFIG_CONTENT": "apiVersion: v1\nkind: Config", "RUNNER_TEMP": str(tmp_path)}
    with credentials(environment):
        file = Path(environment["KUBECONFIG"])
        assert file.read_text() == "apiVersion: v1\nkind: Config\n"
        assert file.parent.parent == tmp_path
        assert file.parent.stat().st_mode & 0o77 == 0
        assert "KUBECONFIG_CONTENT" not in environment
    assert list(tmp_path.iterdir()) == []


def test_a_kubeconfig_may_be_the_path_of_one(tmp_path: Path) -> None:
    file = tmp_path / "of_gitlab"
    file.write_text("kind: Config")
    environment = {"KUBECONFIG_CONTENT": f"{file}\n"}
    with credentials(environment):
        assert environment["KUBECONFIG"] == str(file)
    assert file.exists()


def test_by_hand_nothing_is_changed() -> None:
    environment = {"AWS_ROLE_ARN": "arn:x", "KUBECONFIG": "/k"}
    with credentials(environment):
        assert environment == {"AWS_ROLE_ARN": "arn:x", "KUBECONFIG": "/k"}


class Issuer(HTTPServer):
    """Gives the tokens that GitHub gives to jobs."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.enough = threading.Event()
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        (audience,) = parse_qs(urlsplit(self.path).query)["audience"]
        self.server.asked.append(audience)
        self.send_response(200 if self.headers["Authorization"] == "bearer p4ss" else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"value": f"token {len(self.server.asked)} for {audience}"}).encode())
        if len(self.server.asked) > 2:
            self.server.enough.set()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with served(Issuer()) as server:
        yield server


@pytest.fixture
def job(issuer: Issuer, tmp_path: Path) -> dict[str, str]:
    return {
        "GITHUB_ACTIONS": "true",
        "RUNNER_TEMP": str(tmp_path),
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{issuer.server_port}/token?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "p4ss",
    }


def test_aws_gets_the_jobs_token_in_a_file(job: dict[str, str]) -> None:
    job["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/prod"
    with credentials(job):
        assert Path(job["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text() == "token 1 for sts.amazonaws.com"


def test_google_gets_an_account_that_reads_it(job: dict[str, str]) -> None:
    job["GOOGLE_IDENTITY_PROVIDER"] = "projects/1/locations/global/workloadIdentityPools/p/providers/g"
    job["GOOGLE_SERVICE_ACCOUNT"] = "prod@x.iam.gserviceaccount.com"
    with credentials(job):
        account = json.loads(Path(job["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
        token = Path(account["credential_source"]["file"]).read_text()
    assert token == f"token 1 for https://iam.googleapis.com/{job['GOOGLE_IDENTITY_PROVIDER']}"
    assert account["audience"] == f"//iam.googleapis.com/{job['GOOGLE_IDENTITY_PROVIDER']}"
    assert "prod@x.iam.gserviceaccount.com:generateAccessToken" in account["service_account_impersonation_url"]


def test_azure_gets_it_too(job: dict[str, str]) -> None:
    job["AZURE_CLIENT_ID"] = "0"
    with credentials(job):
        assert Path(job["AZURE_FEDERATED_TOKEN_FILE"]).read_text() == "token 1 for api://AzureADTokenExchange"


def test_gitlabs_token_is_in_a_variable(tmp_path: Path) -> None:
    job = {"GITLAB_CI": "true", "AWS_ROLE_ARN": "arn:x", "ROLLOUT_ID_TOKEN": "jwt"}
    with credentials(job):
        assert Path(job["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text() == "jwt"


def test_a_token_is_renewed_while_a_migration_runs(
    job: dict[str, str], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEWED", 0.01)
    job["AWS_ROLE_ARN"] = "arn:x"
    with credentials(job):
        assert issuer.enough.wait(30)
        assert Path(job["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text() != "token 1 for sts.amazonaws.com"


def test_a_job_that_may_not_ask_for_one_is_told_what_it_needs() -> None:
    with pytest.raises(Refused, match="id-token: write"), credentials({"GITHUB_ACTIONS": "true", "AWS_ROLE_ARN": "x"}):
        pytest.fail("it was begun")


def test_a_token_that_cannot_be_had_is_a_refusal(job: dict[str, str]) -> None:
    job |= {"AWS_ROLE_ARN": "x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "other"}
    with pytest.raises(Refused, match="401"), credentials(job):
        pytest.fail("it was begun")


def test_a_job_that_has_another_way_keeps_it(job: dict[str, str]) -> None:
    job |= {
        "AWS_ROLE_ARN": "x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/of/the/runner",
        "AZURE_CLIENT_ID": "0",
        "AZURE_CLIENT_SECRET": "1",
    }
    with credentials(job):
        assert job["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/of/the/runner"
        assert "AZURE_FEDERATED_TOKEN_FILE" not in job
