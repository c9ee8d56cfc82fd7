"""Small programs, good and bad: what the pack is held against as a whole. ``python -m tests.unit.policies.corpus`` counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policies.judge import judge
from policies.values import Program
from tests.unit.policies.corpus import programs
from tests.unit.policies.corpus.commands import BACK, FORWARD, IDLE
from tests.unit.policies.corpus.scripts import BACKWARDS, FAILS_TOO, HIDES, NOTHING
from tests.unit.policies.good_program import JOB, Change, changed, running

STACK = "prod"


@dataclass(frozen=True)
class Case:
    """One program.

    Args:
        name: what is in it.
        good: whether it should be accepted in production.
        changes: to the program of ``good_program``.
    """

    name: str
    good: bool
    changes: tuple[Change, ...]

    def program(self) -> Program:
        return changed(*self.changes)


def cases() -> Iterator[Case]:
    for good, lines in ((True, FORWARD), (False, IDLE), (False, BACK)):
        for line in lines:
            yield Case(line, good, (running(JOB, args=line.split()),))
    for line in FORWARD:
        script = f"set -e; {line.replace('$(DSN)', '$DSN')}; echo migrated"
        yield Case(script, True, (running(JOB, command=["sh", "-c"], args=[script]),))
    for good, scripts in ((True, FAILS_TOO), (False, HIDES), (False, NOTHING), (False, BACKWARDS)):
        for script in scripts:
            yield Case(script, good, (running(JOB, command=["sh", "-c"], args=[script]),))
    for good, several in ((True, programs.GOOD), (False, programs.BAD)):
        for name, changes in several.items():
            yield Case(name, good, tuple(changes))


def refused(program: Program) -> list[str]:
    """What forbids a program in production."""
    return [f"{j.rule}: {j.message}" for j in judge(program, STACK) if j.mandatory]
