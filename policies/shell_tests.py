"""What a shell's tests end with: ``[``, ``[[`` and ``((``, where what they compare is known."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase

from .shell_expansion import FAILED, is_known
from .shell_state import State


def number(text: str) -> int | None:
    """The number that a word stands for, 1 for any status of a failure, None where it is not known."""
    text = text.strip()
    if text == FAILED:
        return 1
    return int(text[:18]) if re.fullmatch(r"-?\d+", text) else None


def compared(left: str, operator: str, right: str, *, patterns: bool = False) -> set[int]:
    """The statuses of a comparison: 0 where it holds."""
    if operator in ("=", "==", "!=") and is_known(left) and is_known(right):
        same = fnmatchcase(left, right) if patterns else left == right
        return {int(same != (operator != "!="))}
    one, other = number(left), number(right)
    if one is None or other is None:
        return {0, 1}
    holds = {
        "-eq": one == other,
        "=": one == other,
        "==": one == other,
        "-ne": one != other,
        "!=": one != other,
        "-gt": one > other,
        ">": one > other,
        "-ge": one >= other,
        "-lt": one < other,
        "-le": one <= other,
    }.get(operator)
    # Of a failure it is known that its status is not 0.
    vague = FAILED in (left, right) and not (
        (other == 0 if left == FAILED else one == 0) and operator in ("-eq", "=", "==", "-ne", "!=", "-gt", ">", "-le")
    )
    return {0, 1} if holds is None or vague else {int(not holds)}


def tested(words: list[str], state: State, *, patterns: bool) -> set[State]:
    negated = words[:1] == ["!"]
    words = words[negated:]
    statuses = {0, 1}
    if len(words) == 3:
        statuses = compared(*words, patterns=patterns)
    elif len(words) == 2 and words[0] in ("-n", "-z") and (is_known(words[1]) or words[1] == FAILED):
        statuses = {int(bool(words[1]) != (words[0] == "-n"))}
    elif len(words) == 1 and is_known(words[0]):
        statuses = {int(not words[0])}
    elif not words:
        statuses = {1}
    return {replace(state, status=int(s != negated)) for s in statuses}


def counted(text: str, state: State) -> set[State]:
    """An arithmetic command, which succeeds where its value is not 0."""
    found = re.fullmatch(r"\s*(\$?\w+|\$\?)\s*(?:(==|!=|>)\s*(\d+))?\s*", text)
    if not found:
        more = re.fullmatch(r"\s*(\w+)\s*(?:\+\+|\+=\s*1)\s*", text)
        if more:
            return {replace(state.having(more[1], FAILED), status=s) for s in (0, 1)}
        return {replace(state, status=0), replace(state, status=1)}
    value = found[1] if found[1].isdigit() else state.of(found[1].removeprefix("$"))
    statuses = compared(value, found[2] or "!=", found[3] or "0") if isinstance(value, str) else {0, 1}
    return {replace(state, status=s) for s in statuses}
