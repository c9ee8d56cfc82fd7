"""Which runs of a pipeline may not begin: of an environment nobody has set up, and of a commit that is not the newest."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Mapping

from ci.refused import Refused


def guard(command: str, stack: str, environment: Mapping[str, str]) -> None:
    """Lets a run begin, or not. By hand, where CI is not set, every commit and environment may.

    Args:
        command: "preview" or "up".
        stack: its name.
        environment: of the job.

    Raises:
        Refused: why it may not.
    """
    if environment.get("PREVIEW") not in (None, "", "check"):
        raise Refused(f"PREVIEW={environment['PREVIEW']!r} is not known; allowed: check")
    if not environment.get("CI"):
        return
    if command == "up" and environment.get("ROLLOUT_ENVIRONMENT") != stack:
        raise Refused(
            f"the variable ROLLOUT_ENVIRONMENT of this job is not {stack!r}. Set it in the environment {stack!r}, and only there, once "
            "that has its protection: a pipeline makes an environment that is missing by itself, without any (docs/ci.md)"
        )
    _newest(environment)


def _newest(environment: Mapping[str, str]) -> None:
    """An approval, or a run that is started again, may come when the branch has moved on."""
    asking = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    ref = environment.get("GITHUB_REF", "")
    if environment.get("GITHUB_ACTIONS") and ref.startswith("refs/heads/"):
        url, commit = (
            f"{environment['GITHUB_SERVER_URL']}/{environment['GITHUB_REPOSITORY']}",
            environment["GITHUB_SHA"],
        )
        if environment.get("GITHUB_TOKEN"):
            basic = base64.b64encode(f"x-access-token:{environment['GITHUB_TOKEN']}".encode()).decode()
            header = f"Authorization: basic {basic}"
            asking |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraheader", "GIT_CONFIG_VALUE_0": header}
    elif environment.get("GITLAB_CI") and environment.get("CI_COMMIT_BRANCH"):
        ref = f"refs/heads/{environment['CI_COMMIT_BRANCH']}"
        url, commit = environment["CI_REPOSITORY_URL"], environment["CI_COMMIT_SHA"]
    else:
        return
    try:
        done = subprocess.run(
            ["git", "ls-remote", "--exit-code", url, ref],
            env=asking,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(
            f"whether this run's commit is the newest of {ref} could not be asked: {type(error).__name__}"
        ) from None
    found = {name: each for each, _, name in (line.partition("\t") for line in done.stdout.splitlines())}
    newest = found.get(ref)  # git answers with every name that ends like it
    if done.returncode or not newest:
        why = re.sub(r"//[^/@\s]*@", "//", " ".join(done.stderr.split())) or "there is no such branch"
        raise Refused(f"whether this run's commit is the newest of {ref} could not be asked: {why}")
    if newest != commit:
        raise Refused(
            f"this run is of commit {commit[:12]}, and {ref} is at {newest[:12]}, whose own run goes on from here: an older commit's "
            "settings are not put over a newer one's. To go back, revert the change"
        )
