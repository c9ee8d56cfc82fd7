"""What a migration's pod leaves behind: its termination message and the end of its log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

# PostgreSQL prints it as "SQLSTATE 22012", "SQLSTATE: 22012" or "(SQLSTATE=22012)"; drivers likewise.
_SQLSTATE = re.compile(r"SQLSTATE[\s:=(\"']{0,3}([0-9A-Z]{5})\b")


@dataclass(frozen=True)
class LastWords:
    """Why a Job's container ended, as far as it said so.

    Args:
        message: the cause in one sentence or a few.
        sqlstate: PostgreSQL's five characters.
        statement: the SQL statement that failed.
        file: the migration file.
        line: in that file, from 1.
        hint: what to do about it.
        blockers: who held the locks, one line each.
        outcome: the runner's own word for it, empty for a program that says nothing of the kind.
    """

    message: str = ""
    sqlstate: str = ""
    statement: str = ""
    file: str = ""
    line: int | None = None
    hint: str = ""
    blockers: tuple[str, ...] = ()
    outcome: str = ""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.file and self.line else self.file

    def cleaned(self, clean: Callable[[str], str]) -> LastWords:
        """The same with every text put through `clean`."""
        return replace(
            self,
            message=clean(self.message),
            statement=clean(self.statement),
            hint=clean(self.hint),
            blockers=tuple(clean(b) for b in self.blockers),
        )


def parse(termination_message: str, logs: Sequence[str] = ()) -> LastWords:
    """Reads a termination message: the migrator's JSON object, or the end of the log of any other program.

    Args:
        termination_message: of the container's last state.
        logs: the last log lines, where the message says nothing.
    """
    text = termination_message.strip()
    words = read(text)
    if "message" in words or "outcome" in words:
        return LastWords(
            message=_text(words, "message"),
            sqlstate=_text(words, "sqlstate"),
            statement=_text(words, "statement").strip(),
            file=_text(words, "file"),
            line=line if isinstance(line := words.get("line"), int) and line > 0 else None,
            hint=_text(words, "hint"),
            blockers=tuple(_blocker(b) for b in blockers)
            if isinstance(blockers := words.get("blockers"), list)
            else (),
            outcome=_text(words, "outcome"),
        )
    lines = [line for line in (text.splitlines() or logs) if line.strip()]
    found = _SQLSTATE.search("\n".join(lines))
    return LastWords(message=lines[-1].strip() if lines else "", sqlstate=found[1] if found else "")


def read(words: str) -> dict[str, Any]:
    """The JSON object that is a container's last words, or the last line of its log; empty where there is none."""
    # Kubernetes keeps 4096 bytes of the message; where the fallback took the log, the object may be its last line.
    for candidate in (words, words.rstrip().rpartition("\n")[2]):
        try:
            value = json.loads(candidate)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            return value
    return {}


def _text(words: dict[str, Any], key: str) -> str:
    value = words.get(key)
    return value if isinstance(value, str) else ""


def _blocker(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items() if v not in (None, ""))
    return str(value)
