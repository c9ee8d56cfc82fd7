"""`rollout preview` or `rollout up` as a pipeline runs it: ``python -m ci.run COMMAND STACK [OPTION...]``.

It is rollout's process itself, and not the parent of one: GitHub signals only a step's first process when a job is cancelled, GitLab
every process of the container, and rollout is to hear of it exactly once.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ci.credentials import credentials
from ci.guard import guard
from ci.output import as_text
from ci.refused import Refused
from ci.report import report, shortened

_ROOT = Path(__file__).resolve().parent.parent
_STACK = re.compile(r"[a-z0-9][a-z0-9-]*")
# A secret or variable that is not set reaches a job of GitHub as an empty one, which is none.
_GIVEN = ("PULUMI_", "AWS_", "AZURE_", "GOOGLE_", "KUBECONFIG")

_SUMMARY = 250_000  # characters, of which GitHub takes a MiB, whatever alphabet they are of

Rollout = Callable[[Sequence[str]], int]


def main(arguments: Sequence[str], rollout: Rollout | None = None) -> int:
    """Runs rollout with the policies, and leaves STACK.json, STACK.txt and STACK.md in the folder PLANS.

    Args:
        arguments: the command ("preview" or "up"), the stack, and options for rollout.
        rollout: default: the command's own entry.

    Returns:
        rollout's exit code; 1 where it says 0 and left no verdict.
    """
    command, stack, *options = [*arguments, ""] if len(arguments) == 1 else arguments
    if not _STACK.fullmatch(stack):
        print(f"usage: ci/{command} STACK, a name as in Pulumi.STACK.yaml", file=sys.stderr)
        return 2
    with as_text(os.environ):
        return _main(command, stack, options, rollout or _rollout)


def _main(command: str, stack: str, options: Sequence[str], rollout: Rollout) -> int:
    for name, value in list(os.environ.items()):
        if os.environ.get("CI") and name.startswith(_GIVEN) and not value:
            del os.environ[name]
    plans = Path(os.environ.get("PLANS") or _ROOT / "plans")
    plans.mkdir(parents=True, exist_ok=True)
    for old in plans.glob(f"{stack}.*"):
        old.unlink()
    try:
        guard(command, stack, os.environ)
        if command == "preview" and os.environ.get("PREVIEW"):
            code = _check(rollout, stack, plans)
        else:
            with credentials(os.environ):
                code = _run(rollout, command, stack, options, plans)
    except Refused as refused:
        print(f"refused: {refused}", file=sys.stderr)
        code = 2
        _write(plans, stack, "refused", code, str(refused))
    verdict = read(plans / f"{stack}.json")
    if verdict is None and code == 0:
        print(f"rollout ended as if all were well, but left no verdict that can be read in {plans}", file=sys.stderr)
        code = 1
    _tell(command, stack, verdict, plans)
    return code


def read(file: Path) -> dict[str, Any] | None:
    """The verdict that rollout wrote; None where there is none, or not a whole one."""
    try:
        verdict = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return verdict if isinstance(verdict, dict) and isinstance(verdict.get("outcome"), str) else None


def _run(rollout: Rollout, command: str, stack: str, options: Sequence[str], plans: Path) -> int:
    project = os.environ.get("PROJECT") or str(_ROOT)
    given = [command, "--cwd", project, "--stack", stack, "--policy-pack", str(_ROOT / "policies")]
    with (plans / f"{stack}.json").open("w") as out, contextlib.redirect_stdout(out):
        try:
            return rollout([*given, "--json", "--report", str(plans / f"{stack}.txt"), *options])
        except SystemExit as ended:  # of options that mean nothing
            return ended.code if isinstance(ended.code, int) else 1
        except Exception:
            traceback.print_exc()
            return 1


def _check(rollout: Rollout, stack: str, plans: Path) -> int:
    """What can be said without the cluster and the state, for a stack whose preview may reach neither."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = rollout(["check", "--cwd", os.environ.get("PROJECT") or str(_ROOT), "--stack", stack])
    (plans / f"{stack}.txt").write_text(said.getvalue(), encoding="utf-8", errors="backslashreplace")
    _write(plans, stack, "refused" if code else "checked", code)
    return code


def _write(plans: Path, stack: str, outcome: str, code: int, error: str = "") -> None:
    """The verdict on a run that rollout was not begun for, or that it has no such verdict on."""
    said = {"stack": stack, "outcome": outcome, "exit_code": code, "modules": [], "changes": {}, "error": error or None}
    (plans / f"{stack}.json").write_text(json.dumps(said))


def _rollout(arguments: Sequence[str]) -> int:
    from automation.cli import main as cli  # late: where it cannot even be loaded, that is reported too

    return cli(arguments)


def _tell(command: str, stack: str, verdict: dict[str, Any] | None, plans: Path) -> None:
    """Writes the report. Whatever is wrong with that changes nothing of how the run ended."""
    try:
        text = plans / f"{stack}.txt"
        said = report(command, stack, verdict, text.read_text(encoding="utf-8") if text.exists() else "")
    except Exception:
        traceback.print_exc()
        said = f"### ❌ `{stack}`: {command} has ended, but its report could not be made\n\nThe job's log has it.\n"
    try:
        (plans / f"{stack}.md").write_text(said, encoding="utf-8")
        if os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as summary:
                summary.write(shortened(said, _SUMMARY))
    except OSError:
        traceback.print_exc()
    print(said)


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)  # as rollout does: no thread that still follows a log is waited for
