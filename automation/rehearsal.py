"""A rehearsal as the verdict tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.foreign_text import read
from components.termination_message import TerminationMessage, parse

from .database import Finding, findings

if TYPE_CHECKING:
    from components.rehearsing import Rehearsed


@dataclass(frozen=True)
class Rehearsal:
    """How the rehearsal of a module's migration came out.

    Args:
        outcome: "passed", "refused", "migration_failed" or "impossible".
        job: its Job.
        serving: the version that serves, and was tried.
        seconds: it took.
        changes: of the scratch database's schema, a line each.
        findings: changes that are not safe for the version that serves.
        probes: what that version was asked, and its answers.
        message: why it did not pass, or what else is to be known.
        hint: what to do instead.
        words: of the migration, where that failed.
        logs: the end of the log of what went wrong.
    """

    outcome: str
    job: str
    serving: str
    seconds: float
    changes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    probes: tuple[str, ...] = ()
    message: str = ""
    hint: str = ""
    words: TerminationMessage | None = None
    logs: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"

    def as_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "job": self.job,
            "serving": self.serving,
            "seconds": round(self.seconds, 2),
            "changes": list(self.changes),
            "findings": [vars(f) for f in self.findings],
            "probes": list(self.probes),
            "message": self.message or None,
            "hint": self.hint or None,
            "logs": list(self.logs),
        }


def report(result: Rehearsed, clean: Callable[[str], str]) -> Rehearsal:
    """What a rehearsal's containers said, read and without secrets."""
    logs = tuple(clean(line) for line in result.logs)
    said = read(result.words)
    words = parse(result.words, logs).cleaned(clean)
    return Rehearsal(
        result.outcome,
        result.job,
        result.serving,
        result.seconds,
        tuple(clean(c) for c in said.texts("changes")),
        tuple(f.cleaned(clean) for f in findings(said)),
        tuple(clean(p) for p in said.texts("probes")),
        words.message,
        words.hint,
        words if result.outcome == "migration_failed" else None,
        logs,
    )
