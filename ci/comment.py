"""One comment on the pull request (GitHub) or merge request (GitLab) with the reports of all stacks: ``comment.py FOLDER``."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = "<!-- rollout -->"
_MOST = 60_000  # GitHub takes 65,536 characters


class Notes:
    """The comments of one request.

    Args:
        url: of the list of its comments.
        one: of one comment, with ``{id}``.
        header: name and value that authorize.
        change: HTTP method that replaces a comment's text.
    """

    def __init__(self, url: str, one: str, header: tuple[str, str], change: str) -> None:
        self._url, self._one, self._header, self._change = url, one, header, change

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Notes | None:
        """Those that this job's variables speak of; None where it runs for no request."""
        if env.get("GITHUB_ACTIONS") and env.get("PULL_REQUEST"):
            base = f"{env['GITHUB_API_URL']}/repos/{env['GITHUB_REPOSITORY']}/issues"
            bearer = ("Authorization", f"Bearer {env['GITHUB_TOKEN']}")
            return cls(f"{base}/{env['PULL_REQUEST']}/comments", f"{base}/comments/{{id}}", bearer, "PATCH")
        if env.get("GITLAB_CI") and env.get("CI_MERGE_REQUEST_IID"):
            base = f"{env['CI_API_V4_URL']}/projects/{env['CI_PROJECT_ID']}/merge_requests/{env['CI_MERGE_REQUEST_IID']}/notes"
            return cls(base, f"{base}/{{id}}", ("PRIVATE-TOKEN", env["GITLAB_TOKEN"]), "PUT")
        return None

    def put(self, body: str) -> None:
        """Replaces our comment, or makes it."""
        ours = self._ours()
        if ours is None:
            self._ask(self._url, "POST", {"body": body})
        else:
            self._ask(self._one.format(id=ours), self._change, {"body": body})

    def _ours(self) -> int | None:
        for page in range(1, 11):
            found = self._ask(f"{self._url}?per_page=100&page={page}", "GET")
            for note in found:
                if str(note["body"]).startswith(MARK):
                    return int(note["id"])
            if len(found) < 100:
                return None
        return None

    def _ask(self, url: str, method: str, body: dict[str, str] | None = None) -> Any:
        data = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/json", self._header[0]: self._header[1]}
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=30) as answer:
            return json.load(answer)


def main(folder: str) -> int:
    reports = [p.read_text() for p in sorted(Path(folder).rglob("*.md"))]
    if not reports:
        print(f"no reports in {folder}: run ci/preview first", file=sys.stderr)
        return 1
    body = "\n".join([MARK, "## What this change would do", "", *reports])
    if len(body) > _MOST:
        body = body[:_MOST] + "\n\n… the jobs' logs have the rest."
    notes = Notes.of(os.environ)
    if notes is None:
        print(body)
    else:
        notes.put(body)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
