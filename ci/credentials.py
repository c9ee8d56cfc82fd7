"""What a job needs to reach the cluster and the cloud: files that only it can read and that end with it."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import NamedTuple

from ci.refused import Refused

# GitHub's tokens live for five minutes, and a cloud's session for an hour: a migration may take longer, and the state is
# written after it. The clouds' SDKs read the file anew for each session.
_RENEWED = 240.0
_AGAIN = 20.0  # seconds after which a renewal that failed is tried again

Environment = MutableMapping[str, str]


class _Cloud(NamedTuple):
    """A cloud that takes the job's identity for a password.

    Args:
        asked: the variable that asks for it.
        audience: of the token.
        use: sets what the cloud's SDK reads, given the token's file.
    """

    asked: str
    audience: str
    use: Callable[[Path], None]


@contextlib.contextmanager
def credentials(environment: Environment) -> Iterator[None]:
    """Sets KUBECONFIG and what the SDKs of the clouds read, from what the job was given.

    Args:
        environment: of this process.

    Raises:
        Refused: a cloud is asked for, and the job has no identity.
    """
    temporary = environment.get("RUNNER_TEMP")
    with tempfile.TemporaryDirectory(prefix="rollout-", dir=temporary, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _kubeconfig(environment, folder)
        over = threading.Event()
        renewing: list[threading.Thread] = []
        try:
            for cloud in _clouds(environment, folder):
                renewing += _identify(cloud, environment, folder / cloud.asked, over)
            yield
        finally:
            over.set()
            for thread in renewing:
                thread.join(5)


def _kubeconfig(environment: Environment, folder: Path) -> None:
    content = environment.pop("KUBECONFIG_CONTENT", "")
    if not content:
        return
    if "\n" not in content.strip() and Path(content.strip()).is_file():  # what a variable of GitLab's type File is
        environment["KUBECONFIG"] = content.strip()
        return
    file = folder / "kubeconfig"
    file.write_text(content + "\n")
    environment["KUBECONFIG"] = str(file)


def _clouds(environment: Environment, folder: Path) -> Iterator[_Cloud]:
    """Those that are asked for. A job that has another way to one of them keeps that."""
    if not (environment.get("GITHUB_ACTIONS") or environment.get("GITLAB_CI")):
        return
    if environment.get("AWS_ROLE_ARN") and not environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"):

        def aws(token: Path) -> None:
            environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(token)

        yield _Cloud("AWS_ROLE_ARN", "sts.amazonaws.com", aws)
    if environment.get("GOOGLE_IDENTITY_PROVIDER") and not environment.get("GOOGLE_APPLICATION_CREDENTIALS"):
        provider = environment["GOOGLE_IDENTITY_PROVIDER"]

        def google(token: Path) -> None:
            account = {
                "type": "external_account",
                "audience": f"//iam.googleapis.com/{provider}",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": "https://sts.googleapis.com/v1/token",
                "credential_source": {"file": str(token)},
            }
            if email := environment.get("GOOGLE_SERVICE_ACCOUNT"):
                account["service_account_impersonation_url"] = (
                    f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken"
                )
            file = folder / "google.json"
            file.write_text(json.dumps(account))
            environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)

        yield _Cloud("GOOGLE_IDENTITY_PROVIDER", f"https://iam.googleapis.com/{provider}", google)
    other = environment.get("AZURE_FEDERATED_TOKEN_FILE") or environment.get("AZURE_CLIENT_SECRET")
    if environment.get("AZURE_CLIENT_ID") and not other:

        def azure(token: Path) -> None:
            environment["AZURE_FEDERATED_TOKEN_FILE"] = str(token)

        yield _Cloud("AZURE_CLIENT_ID", "api://AzureADTokenExchange", azure)


def _identify(cloud: _Cloud, environment: Environment, file: Path, over: threading.Event) -> list[threading.Thread]:
    """Writes the job's token for a cloud, and returns what keeps it fresh until it is over."""
    if environment.get("ROLLOUT_ID_TOKEN"):  # GitLab's lives as long as the job may
        file.write_text(environment["ROLLOUT_ID_TOKEN"])
        cloud.use(file)
        return []
    url, password = environment.get("ACTIONS_ID_TOKEN_REQUEST_URL"), environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not password:
        raise Refused(
            f"{cloud.asked} is set, but this job has no identity: `permissions: id-token: write` gives it one on GitHub, "
            "`id_tokens` on GitLab"
        )
    request = urllib.request.Request(
        f"{url}&audience={urllib.parse.quote(cloud.audience, safe='')}", headers={"Authorization": f"bearer {password}"}
    )

    def renew() -> None:
        with urllib.request.urlopen(request, timeout=30) as answer:
            token = str(json.load(answer)["value"])
        fresh = file.with_suffix(".new")
        fresh.write_text(token)
        fresh.replace(file)

    def keep() -> None:
        wait = _RENEWED
        while not over.wait(wait):
            try:
                renew()
                wait = _RENEWED
            except (OSError, ValueError, KeyError) as error:
                print(f"the job's token for {cloud.asked} could not be renewed yet: {error}", file=sys.stderr)
                wait = _AGAIN

    try:
        renew()
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"{cloud.asked} is set, but the job's token could not be had: {error}") from None
    cloud.use(file)
    thread = threading.Thread(target=keep, name=cloud.asked, daemon=True)
    thread.start()
    return [thread]
