"""An engine's facts against the Pulumi CLI's, and the differences that may stay, each with its reason (`reasons.toml`)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.parity.facts import difference, facts
from tests.parity.recordings import Recording
from tests.parity.scenarios import SCENARIOS

REASONS: Final = Path(__file__).parent / "reasons.toml"
NEVER_EXCUSED: Final = ("exit", "operations", "order", "state", "pending", "locks", "history")
"""Facts for which no reason is accepted: they are the gate, its ordering, failures and the state."""


@dataclass(frozen=True)
class Difference:
    """One place in which an engine did not do what the CLI did.

    Attributes:
        place: ``step/fact/...``.
        text: what was expected and found.
    """

    place: str
    text: str

    @property
    def fact(self) -> str:
        return self.place.split("/")[1] if "/" in self.place else self.place

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True)
class Reason:
    """Why a difference may stay.

    Attributes:
        scenarios: pattern of their names.
        place: pattern of the difference's place.
        engine: which engine's.
        why: for readers of docs/parity.md.
    """

    scenarios: str
    place: str
    engine: str
    why: str

    def excuses(self, scenario: str, engine: str, found: Difference) -> bool:
        if found.fact in NEVER_EXCUSED or engine != self.engine:
            return False
        return bool(re.fullmatch(self.scenarios, scenario) and re.fullmatch(self.place, found.place))


def reasons() -> list[Reason]:
    return [Reason(**r) for r in tomllib.loads(REASONS.read_text(encoding="utf-8")).get("reason", [])]


def beyond() -> list[dict[str, str]]:
    """What an engine does that the CLI does not, and which no scenario shows."""
    found: list[dict[str, str]] = tomllib.loads(REASONS.read_text(encoding="utf-8")).get("beyond", [])
    return found


def differences(expected: Recording, found: Recording) -> list[Difference]:
    """All differences, whether there is a reason for them or not."""
    out: list[Difference] = []
    mine, theirs = facts(expected), facts(found)
    if len(mine) != len(theirs):
        out.append(Difference("steps", f"expected {len(mine)}, found {len(theirs)}"))
    for number, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        out += [Difference(place, text) for place, text in difference(str(number), a, b)]
    return out


def unexplained(scenario: str, engine: str, found: list[Difference]) -> list[Difference]:
    """Those without a reason, and not in what the scenario leaves open."""
    known, left_open = reasons(), SCENARIOS[scenario].open
    return [
        d
        for d in found
        if not any(re.fullmatch(place, d.place) for place in left_open)
        and not any(r.excuses(scenario, engine, d) for r in known)
    ]
