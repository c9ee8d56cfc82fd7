"""What a container says that was killed: nothing. The end of its log is what it did before, and not why it ended."""

from __future__ import annotations

import json
import signal

from .foreign_text import read

_MORE = "Give it more: migration.resources.limits.memory for a migration, backups.memoryLimit for a backup, resources for what serves."


def termination_message(message: str, exit_code: int, reason: str, limit: str = "") -> str:
    """A container's termination message, as JSON with the cause where a signal was it and the message does not say so.

    Args:
        message: as Kubernetes has it; with FallbackToLogsOnError the end of the log.
        exit_code: 128 and the signal's number, of a container that one has ended.
        reason: such as OOMKilled, by the container runtime.
        limit: of its memory, such as 512Mi; empty for none.
    """
    if reason == "OOMKilled":
        of = f" of {limit}" if limit else ""
        text = f"it was killed for using more memory than its limit{of} (OOMKilled, exit code {exit_code})"
        return json.dumps({"message": text, "hint": _MORE})
    if exit_code <= 128 or exit_code - 128 not in {s.value for s in signal.Signals} or _says_why(message):
        return message
    text = f"it was ended by {signal.Signals(exit_code - 128).name} (exit code {exit_code})"
    last = next((line.strip() for line in reversed(message.splitlines()) if line.strip()), "")
    return json.dumps({"message": text + (f"; the last it wrote: {last}" if last else "")})


def _says_why(message: str) -> bool:
    """Whether it is the migrator's own, which hears SIGTERM and says what became of the migration."""
    said = read(message)
    return "outcome" in said or "message" in said
