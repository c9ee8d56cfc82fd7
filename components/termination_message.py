"""What a container leaves behind: its termination message, or the end of its log."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .foreign_text import cut, read

# PostgreSQL prints it as "SQLSTATE 22012", "SQLSTATE: 22012" or "(SQLSTATE=22012)"; drivers likewise.
_SQLSTATE = re.compile(r"SQLSTATE[\s:=(\"']{0,3}([0-9A-Z]{5})\b")
_CODE = re.compile(r"[0-9A-Z]{5}")
_MOST = 4096  # characters of a text, as many bytes as Kubernetes keeps of a message


@dataclass(frozen=True)
class TerminationMessage:
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

    def cleaned(self, clean: Callable[[str], str]) -> TerminationMessage:
        """The same with every text put through `clean`."""
        return replace(
            self,
            message=clean(self.message),
            statement=clean(self.statement),
            file=clean(self.file),
            hint=clean(self.hint),
            blockers=tuple(clean(b) for b in self.blockers),
            outcome=clean(self.outcome),
        )


def parse(text: str, logs: Sequence[str] = ()) -> TerminationMessage:
    """Reads a termination message: the migrator's JSON object, or the end of the log of any other program.

    Args:
        text: of the container's last state.
        logs: the last log lines, where the message says nothing.
    """
    said = read(text)
    if "message" in said or "outcome" in said:
        sqlstate = said.text("sqlstate")
        return TerminationMessage(
            message=cut(said.text("message"), _MOST),
            sqlstate=sqlstate if _CODE.fullmatch(sqlstate) else "",
            statement=cut(said.text("statement").strip(), _MOST),
            file=cut(said.text("file"), _MOST),
            line=said.count("line") or None,
            hint=cut(said.text("hint"), _MOST),
            blockers=tuple(cut(str(each), _MOST) for each in said.objects("blockers")) + said.texts("blockers"),
            outcome=cut(said.text("outcome"), _MOST),
        )
    lines = [line for line in (text.split("\n") if text.strip() else logs) if line.strip()]
    found = _SQLSTATE.search("\n".join(lines))
    return TerminationMessage(
        message=cut(lines[-1].strip(), _MOST) if lines else "", sqlstate=found[1] if found else ""
    )
