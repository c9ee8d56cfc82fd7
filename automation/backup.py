"""A backup as the verdict tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.foreign_text import read
from components.termination_message import TerminationMessage, parse

if TYPE_CHECKING:
    from components.backing_up import BackedUp


@dataclass(frozen=True)
class BackupReport:
    """How the backup before a module's migration came out.

    Args:
        outcome: "backed up", "skipped" where there was nothing to back up, or "failed".
        job: its Job.
        seconds: it took.
        id: of the backup, empty where there is none.
        size: bytes of it.
        rows: in it.
        message: what else is to be known.
        words: why it failed.
        logs: the end of its log, where it failed.
    """

    outcome: str
    job: str
    seconds: float
    id: str = ""
    size: int = 0
    rows: int = 0
    message: str = ""
    words: TerminationMessage | None = None
    logs: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.outcome != "failed"

    @property
    def text(self) -> str:
        """In one line, for people."""
        if self.id:
            made = f"{self.id}: {self.rows} rows, {size(self.size)}, read back whole, in {self.seconds:.1f} s"
            return f"{made}; {self.message}" if self.message else made
        return f"{self.outcome}{': ' + self.message if self.message else ''}"

    def as_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "job": self.job,
            "seconds": round(self.seconds, 2),
            "id": self.id or None,
            "bytes": self.size,
            "rows": self.rows,
            "message": self.message or None,
        }


def report(result: BackedUp, clean: Callable[[str], str]) -> BackupReport:
    """What a backup's container said, read and without secrets."""
    logs = tuple(clean(line) for line in result.logs)
    if not result.ok:
        words = parse(result.words, logs).cleaned(clean)
        return BackupReport("failed", result.job, result.seconds, message=words.message, words=words, logs=logs)
    said = read(result.words)
    made = said.nested("backup")
    return BackupReport(
        clean(said.text("outcome")) or "backed up",
        result.job,
        result.seconds,
        clean(made.text("id")),
        made.count("size"),
        made.count("rows"),
        clean(said.text("message")),
    )


def size(number: float) -> str:
    """Bytes as people write them."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
