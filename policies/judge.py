"""A whole program judged at once, without a pack host: for checks that need no engine."""

from __future__ import annotations

from dataclasses import dataclass

from .levels import levels
from .rule import StackRule, Unknowable
from .rules import RULES
from .values import Program


@dataclass(frozen=True)
class Judged:
    """One thing that a rule has to say.

    Args:
        rule: its name.
        mandatory: whether it forbids the update; else it is advice.
        urn: of the resource.
        message: which resource, what is wrong, what to write instead.
    """

    rule: str
    mandatory: bool
    urn: str
    message: str


def judge(program: Program, stack: str) -> list[Judged]:
    """What the pack would say of a program in a preview of this stack, the worst first."""
    found = []
    for name, level in levels(stack).items():
        rule = next(r for r in RULES if r.name == name)
        if level.level == "disabled" or not rule.checks:
            continue
        if isinstance(rule, StackRule):
            said = list(rule.judge(program, level.options))
        else:
            said = [s for r in program.resources for s in rule.judge(r, level.options)]
        for s in said:
            if isinstance(s, Unknowable):
                found.append(
                    Judged(name, False, s.urn, f"{s.urn.rpartition('::')[2]}: not judged, {s.path} is not known yet")
                )
            else:
                found.append(Judged(name, level.level != "advisory", s.urn, s.message))
    return sorted(found, key=lambda j: not j.mandatory)
