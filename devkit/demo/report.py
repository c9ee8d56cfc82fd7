"""What the demo ends with: a table for a person, the same as JSON for a program."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """One step as it went.

    Args:
        step: what was done.
        outcome: as ``rollout`` told it.
        seconds: from the command to its end.
        requests: sent by the clients meanwhile.
        lost: of those, not answered as they should be.
        serving: the version that has the traffic afterwards, with its ready pods.
        database: what became of it.
        problems: what should have been otherwise; empty when the step showed what it is there to show.
    """

    step: str
    outcome: str
    seconds: float
    requests: int
    lost: int
    serving: str
    database: str
    problems: list[str] = field(default_factory=list)


def table(steps: list[Step]) -> str:
    """The steps as aligned columns."""
    head = ("step", "outcome", "seconds", "requests", "lost", "serving", "database")
    rows = [
        head,
        *(
            (s.step, s.outcome, f"{s.seconds:.1f}", f"{s.requests:,}", str(s.lost), s.serving, s.database)
            for s in steps
        ),
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    numbers = {2, 3, 4}
    lines = [
        "  ".join(c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def document(pulumi: str, steps: list[Step], ledger: dict[str, Any]) -> dict[str, Any]:
    """The whole demo as JSON."""
    ok = bool(steps) and not any(s.problems or s.lost for s in steps) and bool(ledger.get("ok"))
    return {"ok": ok, "pulumi": pulumi, "steps": [asdict(s) for s in steps], "ledger": ledger}
