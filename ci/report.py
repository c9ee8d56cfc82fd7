"""The verdict of `rollout preview` or `rollout up` as Markdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from automation.plan import Change, Planned
from automation.plan import lines as plan_lines
from components.foreign_text import flat, one_line

_SIGNS = {"previewed": "✅", "unchanged": "✅", "deployed": "✅", "refused": "⛔", "checked": "⚠️"}
_WORDS = {"checked": "checked without its cluster, so there is no plan"}
_FOLDED = 40  # lines of a plan from which on it is opened by a click
_LIKE = 3  # findings of one rule that are told; the others are counted
# How a policy is named by a violation, at its end, and by a notice, at its beginning.
_RULE = re.compile(r"\((?P<violated>[\w-]+/[\w-]+)\)$|^(?:note: )?policy (?P<advised>[\w-]+/[\w-]+):")


def report(command: str, stack: str, verdict: dict[str, Any] | None, text: str = "") -> str:
    """The report of one stack.

    Args:
        command: "preview" or "up".
        stack: its name.
        verdict: what `rollout --json` printed; None where that cannot be read.
        text: what rollout told people, which has all that a plan has not.
    """
    if verdict is None:
        return f"### ❌ `{stack}`: {command} did not finish\n\nThe job's log says why.\n"
    outcome = str(verdict["outcome"])
    counts = verdict.get("changes") or {}
    changes = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()) if n and what != "same")
    sign = _SIGNS.get(outcome, "❌")
    goes = _goes(verdict)
    if sign == "✅" and goes:
        sign = "⚠️"
    lines = [
        f"### {sign} `{stack}`: {_WORDS.get(outcome, outcome.replace('_', ' '))}"
        + (f" ({changes})" if changes else ""),
        "",
    ]
    lines += goes
    text = text or str(verdict.get("error") or "")
    told = bool(text) and (command == "up" or outcome not in ("previewed", "unchanged"))
    if told:
        lines += _block("text", grouped(text.split("\n")))
    elif outcome not in ("previewed", "unchanged", "deployed"):
        lines += ["The job's log says why.", ""]
    lines += _modules(verdict.get("modules") or [])
    lines += _plan(verdict.get("plan") or [])
    notices = verdict.get("notices") or []
    if notices and not told:
        lines += ["<details><summary>Advice</summary>", "", *_block("text", grouped(notices)), "</details>", ""]
    if version := verdict.get("pulumi"):
        lines += [f"By Pulumi CLI {version}.", ""]
    return "\n".join(lines)


def _goes(verdict: dict[str, Any]) -> list[str]:
    """What a reviewer must not overlook: modules that are removed, and objects that are deleted before their successor is made."""
    removed = [m["name"] for m in verdict.get("modules") or [] if not m["version"]]
    replaced = [f"{p['kind']} {p['name']}" for p in verdict.get("plan") or [] if p["operation"] == "replace"]
    lines = [f"**Removed: {', '.join(map(_code, removed))}.**"] * bool(removed)
    lines += [f"**Deleted and made anew: {', '.join(map(_code, replaced))}.**"] * bool(replaced)
    return [*lines, ""] if lines else []


def grouped(lines: Iterable[str]) -> list[str]:
    """The lines with at most three findings of each rule, and how many more it has."""
    kept: list[str] = []
    last: dict[str, int] = {}
    found: Counter[str] = Counter()
    for line in lines:
        match = _RULE.search(line)
        rule = match and (match["violated"] or match["advised"])
        if rule:
            found[rule] += 1
            if found[rule] > _LIKE:
                continue
            last[rule] = len(kept)
        kept.append(line)
    for rule, place in sorted(last.items(), key=lambda each: each[1], reverse=True):
        if found[rule] > _LIKE:
            kept.insert(place + 1, f"  ... and {found[rule] - _LIKE} more of {rule}")
    return kept


def shortened(text: str, most: int) -> str:
    """The beginning of a report: it ends with a whole line, and what is open is closed."""
    if len(text) <= most:
        return text
    end = "\n*This is not all of it: the run has the rest.*\n"
    lines: list[str] = []
    room, fenced, details = most - len(end) - 40, False, 0
    for line in text.split("\n"):
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            details += line.startswith("<details") - line.startswith("</details")
    return "\n".join([*lines, *["```"] * fenced, *["", "</details>"] * details, end])


def _modules(modules: list[dict[str, Any]]) -> list[str]:
    changed = [m for m in modules if m["outcome"] != "unchanged"]
    unchanged = len(modules) - len(changed)
    lines = ["| module | now | then | |", "|---|---|---|---|", *map(_module, changed), ""] if changed else []
    if unchanged:
        lines += [f"{unchanged} module{'s are' if unchanged > 1 else ' is'} unchanged.", ""]
    return lines


def _module(m: dict[str, Any]) -> str:
    what = m.get("detail") or str(m["outcome"]).replace("_", " ")
    return f"| {_code(m['name'])} | {_code(m.get('previous') or '-')} | {_code(m['version'])} | {_code(what)} |"


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
    return [summary, "", *_block("diff", lines), "</details>", ""]


def _block(language: str, lines: Iterable[str]) -> Iterator[str]:
    """Lines as they are. What a change says must not end the block."""
    yield from (f"```{language}", "\n".join(map(flat, lines)).replace("```", "'''"), "```", "")


def _code(value: object) -> str:
    """A cell in which nothing is markup, mentions somebody or ends the cell (a pipe would, even behind a backslash)."""
    text = one_line(str(value))
    return f"`{text.replace('`', chr(39)).replace('|', '¦')}`" if text else ""
