"""A rehearsal as the verdict tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from components.foreign_text import one_line, read
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
        evidence: what the statements that the serving version really uses say of the new schema.
        container: of the rehearsal's pod, that decided.
        exit_code: of that container; None if it has not ended by itself.
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
    evidence: str = ""
    container: str = ""
    exit_code: int | None = None

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"

    @property
    def cannot_restart(self) -> Finding | None:
        """That the serving version keeps running and could not be started anew."""
        return next((f for f in self.findings if f.rule == _RESTART_FAILS), None)

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
            "evidence": self.evidence or None,
            "container": self.container or None,
            "exit_code": self.exit_code,
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
        tuple(_with_last_line(f, logs).cleaned(clean) for f in findings(said)),
        tuple(clean(p) for p in said.texts("probes")),
        words.message,
        words.hint,
        words if result.outcome == "migration_failed" else None,
        logs,
        clean(said.text("evidence")),
        result.container,
        result.exit_code,
    )


_RESTART_FAILS = "restart-fails"


def _with_last_line(finding: Finding, logs: tuple[str, ...]) -> Finding:
    """The finding with what the serving version said as it could not be started: only its log has that."""
    last = next((line.strip() for line in reversed(logs) if line.strip()), "")
    if finding.rule != _RESTART_FAILS or not last:
        return finding
    return replace(finding, why=f"It says: {one_line(last)}. {finding.why}")
