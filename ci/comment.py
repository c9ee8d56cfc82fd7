"""One comment on the pull or merge request with the reports of all stacks: ``python -m ci.comment FOLDER STACK...``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.forge import ForgeError, Notes
from ci.output import as_text
from ci.report import shortened
from components.foreign_text import one_line

MARK = "<!-- rollout -->"
_MOST = 60_000  # GitHub takes 65,536 characters
_RULES = ("policies", "ci", ".github", ".gitlab-ci.yml")  # what a change is judged by


def comment(reports: Mapping[str, str], head: str, most: int = _MOST) -> str:
    """The comment: what is not well first, then the stacks from the last, production, to the first.

    Args:
        reports: by stack, in the order in which they are updated; empty where there is none.
        head: what comes before them.
        most: characters it may have.
    """
    told = {
        stack: text or f"### ❌ `{stack}`: no plan\n\nIts job ended before there was one.\n"
        for stack, text in reports.items()
    }
    room = most - len(head) - 2 * len(told)
    # What the short ones leave, the long ones have.
    for number, stack in enumerate(sorted(told, key=lambda each: len(told[each]))):
        told[stack] = shortened(told[stack], room // (len(told) - number))
        room -= len(told[stack])
    last_first = [told[stack] for stack in reversed(told)]
    return "\n".join([head, *sorted(last_first, key=lambda text: text.startswith("### ✅"))])


def heading(env: Mapping[str, str], rules: str) -> str:
    """What it is about: commit, run and time, and what of the rules the change changes."""
    commit = env.get("COMMIT") or env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or env.get("CI_COMMIT_SHA")
    run = env.get("CI_PIPELINE_URL", "")
    if env.get("GITHUB_RUN_ID"):
        run = f"{env['GITHUB_SERVER_URL']}/{env['GITHUB_REPOSITORY']}/actions/runs/{env['GITHUB_RUN_ID']}"
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    about = (
        (f"Of commit {commit}" if commit else "Made by hand") + (f" by [this run]({run})" if run else "") + f", {when}."
    )
    return "\n".join([MARK, "## What this change would do", "", about, "", *([rules, ""] if rules else [])])


def changed_rules(env: Mapping[str, str], folder: Path) -> str:
    """Whether the change judges itself by rules of its own; empty where it does not."""
    if env.get("CI_MERGE_REQUEST_DIFF_BASE_SHA"):
        between = [env["CI_MERGE_REQUEST_DIFF_BASE_SHA"], env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or "HEAD"]
    elif env.get("PULL_REQUEST"):
        between = ["HEAD^1", "HEAD"]  # the commit that GitHub makes of the base branch and the change
    else:
        return ""
    done = subprocess.run(
        ["git", "diff", "--name-only", *between, "--", *_RULES], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"⚠️ **Whether this change changes the rules it is judged by is not known**: `{_plain(done.stderr)}`"
    files = done.stdout.splitlines()
    if not files:
        return ""
    more = f" and {len(files) - 10} more" if len(files) > 10 else ""
    names = ", ".join(f"`{_plain(name)}`" for name in files[:10])
    return f"⚠️ **This change changes the rules it is judged by**: {names}{more}."


def _plain(text: str) -> str:
    return one_line(text.replace("`", "'"))[:200]


def main(folder: str, stacks: Sequence[str]) -> int:
    """Returns 0 where every stack has a plan and none is refused: it may be required of a change."""
    reports = {}
    for stack in stacks:
        found = sorted(Path(folder).rglob(f"{stack}.md"))
        reports[stack] = (
            found[0].read_text(encoding="utf-8").strip() + "\n" if found and found[0].stat().st_size else ""
        )
    body = comment(reports, heading(os.environ, changed_rules(os.environ, Path(__file__).parent)))
    try:
        notes = Notes.of(os.environ)
        if notes:
            notes.put(MARK, body)
        else:
            print(body)
    except ForgeError as error:
        print(f"{body}\nthe comment could not be made: {error}", file=sys.stderr)
        return 1
    not_well = [stack for stack, text in reports.items() if not text.startswith(("### ✅", "### ⚠️"))]
    if not_well:
        print(f"no plan that could be carried out: {', '.join(not_well)}", file=sys.stderr)
    return 1 if not_well else 0


if __name__ == "__main__":
    with as_text(os.environ):
        code = main(sys.argv[1], sys.argv[2:])
    sys.exit(code)
