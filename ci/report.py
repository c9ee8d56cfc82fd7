"""The verdict of `rollout preview` or `rollout up` as Markdown: ``python -m ci.report COMMAND STACK FILE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from automation.plan import Change, Planned
from automation.plan import lines as plan_lines

_SIGNS = {"previewed": "✅", "unchanged": "✅", "deployed": "✅", "refused": "⛔"}
_FOLDED = 40  # lines of a plan from which on it is opened by a click


def report(command: str, stack: str, verdict: dict[str, Any] | None) -> str:
    """The report of one stack.

    Args:
        command: "preview" or "up".
        stack: its name.
        verdict: what `rollout --json` printed; None where it printed nothing.
    """
    if verdict is None:
        return f"### ❌ `{stack}`: {command} did not finish\n\nThe job's log says why.\n"
    outcome = str(verdict["outcome"])
    changes = ", ".join(f"{n} {what}" for what, n in sorted(verdict["changes"].items()) if n and what != "same")
    lines = [
        f"### {_SIGNS.get(outcome, '❌')} `{stack}`: {outcome.replace('_', ' ')}"
        + (f" ({changes})" if changes else ""),
        "",
    ]
    if verdict["modules"]:
        lines += ["| module | now | then | |", "|---|---|---|---|"]
        lines += [_module(m) for m in verdict["modules"]]
        lines.append("")
    if verdict.get("error"):
        lines += ["```text", _fenced(verdict["error"]), "```", ""]
    for module in verdict["modules"]:
        lines += _job(module)
    lines += _plan(verdict.get("plan") or [])
    notices = verdict.get("notices") or []
    if notices:
        lines += ["<details><summary>Advice</summary>", "", *(f"- {_cell(n)}" for n in notices), "", "</details>", ""]
    return "\n".join(lines)


def _module(m: dict[str, Any]) -> str:
    what = m.get("detail") or str(m["outcome"]).replace("_", " ")
    return f"| {_cell(m['name'])} | {_cell(m.get('previous') or '-')} | {_cell(m['version'])} | {_cell(what)} |"


def _job(m: dict[str, Any]) -> list[str]:
    """Why a migration failed."""
    job = m.get("job") or {}
    if not job.get("failed"):
        return []
    said = [
        job.get("message"),
        job.get("sqlstate") and f"SQLSTATE {job['sqlstate']}",
        job.get("statement"),
        *job.get("logs", [])[-20:],
    ]
    return [
        f"Migration of {m['name']} (Job {job['name']}):",
        "",
        "```text",
        _fenced("\n".join(s for s in said if s)),
        "```",
        "",
    ]


def _plan(plan: list[dict[str, Any]]) -> list[str]:
    """What would be done to which resource, coloured as a diff is: what changes, as what differs in it, begins with ``!``."""
    found = [Planned(**{**each, "changes": tuple(Change(**change) for change in each["changes"])}) for each in plan]
    lines: list[str] = []
    for module in dict.fromkeys(each.module for each in found):
        lines.append(f"# {module or 'the stack'}")
        told = plan_lines(each for each in found if each.module == module)
        lines += [line if line[0] in "+-" else f"!{line[1:]}" for line in told]
    if not lines:
        return []
    opened = " open" if len(lines) < _FOLDED else ""
    summary = f"<details{opened}><summary>Plan: {len(found)} resources</summary>"
    return [summary, "", "```diff", _fenced("\n".join(lines)), "```", "", "</details>", ""]


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _fenced(text: str) -> str:
    return text.replace("```", "'''")


def main(command: str, stack: str, file: str) -> None:
    try:
        verdict = json.loads(Path(file).read_text())
    except json.JSONDecodeError:
        verdict = None
    print(report(command, stack, verdict))


if __name__ == "__main__":
    main(*sys.argv[1:4])
