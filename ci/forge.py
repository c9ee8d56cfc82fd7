"""The comments of a pull request (GitHub) or merge request (GitLab), by their APIs."""

from __future__ import annotations

import http.client
import itertools
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

_TRIES = 3
_LONGEST = 60.0  # seconds that are waited where the forge asks for more


class ForgeError(Exception):
    """The forge did not do what it was asked to.

    Args:
        text: one line.
        status: of HTTP; 0 where there was no answer.
        wait: seconds after which to ask again; None where that is useless.
    """

    def __init__(self, text: str, status: int = 0, wait: float | None = None) -> None:
        super().__init__(text)
        self.status, self.wait = status, wait


class Notes:
    """The comments of one request.

    Args:
        api: the URL before all others.
        notes: of the list of comments, below it.
        one: of one comment, with ``{id}``.
        header: name and value that authorize.
        change: HTTP method that replaces a comment's text.
        names: where a comment has its author, and an author the name.
    """

    def __init__(
        self, api: str, notes: str, one: str, header: tuple[str, str], change: str, names: tuple[str, str]
    ) -> None:
        self._api, self._notes, self._one = api, notes, one
        self._header, self._change, self._names = header, change, names

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Notes | None:
        """Those that this job's variables speak of; None where it runs for no request.

        Raises:
            ForgeError: the job has no token for them.
        """
        if env.get("GITHUB_ACTIONS") and env.get("PULL_REQUEST"):
            if not env.get("GITHUB_TOKEN"):
                raise ForgeError("GITHUB_TOKEN is not set for this step")
            issues = f"/repos/{env['GITHUB_REPOSITORY']}/issues"
            bearer = ("Authorization", f"Bearer {env['GITHUB_TOKEN']}")
            notes = f"{issues}/{env['PULL_REQUEST']}/comments"
            return cls(env["GITHUB_API_URL"], notes, f"{issues}/comments/{{id}}", bearer, "PATCH", ("user", "login"))
        if env.get("GITLAB_CI") and env.get("CI_MERGE_REQUEST_IID"):
            if not env.get("GITLAB_TOKEN"):
                raise ForgeError(
                    "GITLAB_TOKEN is not set for this job: a project access token with the scope api, as a variable that is "
                    "not protected, because the pipelines of merge requests get no protected ones (docs/ci.md)"
                )
            notes = f"/projects/{env['CI_MERGE_REQUEST_PROJECT_ID']}/merge_requests/{env['CI_MERGE_REQUEST_IID']}/notes"
            token = ("PRIVATE-TOKEN", env["GITLAB_TOKEN"])
            return cls(env["CI_API_V4_URL"], notes, f"{notes}/{{id}}", token, "PUT", ("author", "username"))
        return None

    def put(self, mark: str, body: str) -> None:
        """Replaces our comment, or makes it. What fails for a while is tried three times.

        Args:
            mark: with which our comments begin, and those of others may.
            body: Markdown that begins with it.

        Raises:
            ForgeError: it could not be done.
        """
        for left in reversed(range(_TRIES)):
            try:
                # From the start each time: a comment that was made although its answer was lost is found.
                return self._put(mark, body)
            except ForgeError as error:
                if error.wait is None or not left:
                    raise
                time.sleep(min(error.wait, _LONGEST))
        return None

    def _put(self, mark: str, body: str) -> None:
        ours = self._ours(mark)
        if ours is not None:
            try:
                self._ask(self._one.format(id=ours), self._change, {"body": body})
            except ForgeError as error:
                if error.status != 403 or error.wait is not None:
                    raise  # else it is not ours to change, or not any more
            else:
                return
        self._ask(self._notes, "POST", {"body": body})

    def _ours(self, mark: str) -> int | None:
        """The comment that we made: anybody can begin one as we do."""
        author, name = self._names
        us = self._us(name)
        for page in itertools.count(1):
            found = self._ask(f"{self._notes}?per_page=100&page={page}", "GET")
            for note in found:
                if str(note["body"]).startswith(mark) and (note.get(author) or {}).get(name) == us:
                    return int(note["id"])
            if len(found) < 100:
                break
        return None

    def _us(self, name: str) -> str:
        try:
            return str(self._ask("/user", "GET")[name])
        except ForgeError as error:
            if error.status != 403 or error.wait is not None or name != "login":
                raise
            return "github-actions[bot]"  # a job's own token is nobody's, and may not ask

    def _ask(self, path: str, method: str, body: dict[str, str] | None = None) -> Any:
        data = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/json", self._header[0]: self._header[1]}
        request = urllib.request.Request(self._api + path, data, headers, method=method)
        said = f"{method} {self._api}{path.partition('?')[0]}"
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                text = " ".join(error.read(2000).decode(errors="replace").split())[:300]
                raise ForgeError(f"{said}: {error.code} {error.reason}: {text}", error.code, _wait(error)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ForgeError(f"{said}: {error}", wait=2) from None


def _wait(error: urllib.error.HTTPError) -> float | None:
    """Seconds after which to ask again: GitHub says 403 too where there were too many questions."""
    after = error.headers.get("Retry-After", "")
    limited = error.code == 403 and (after or error.headers.get("X-RateLimit-Remaining") == "0")
    if error.code != 429 and error.code < 500 and not limited:
        return None
    return float(after) if after.isdigit() else 2.0
