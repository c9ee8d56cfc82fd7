"""What a finding counts for: by the statements that are really used, and by what the settings say of it. Pure.

Behaviour refuses: the serving version fails, or a statement that it uses no longer plans. A static finding refuses too,
unless something speaks against it: no statement touches what it is about, or the settings trust the module's vendor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from migrator.compatibility import Finding
from migrator.fingerprint import Snapshot
from migrator.rehearsal.evidence import Changed, Evidence, Outcome
from migrator.rehearsal.locks import LONG, Held
from migrator.rehearsal.serving import Answers
from migrator.witness import described

Level = Literal["refuse", "warn"]
_SCALED = 0.15  # seconds: what is shorter is the time that looking takes, and says nothing of rows
_NAMED = 5  # statements of one kind that are shown one by one


@dataclass(frozen=True)
class Decision:
    """What somebody has decided about some findings.

    Attributes:
        rule: pattern of the rule's id.
        object: pattern of the object's name.
        level: what they count for.
        reason: why, by whoever has decided it.
    """

    rule: str
    object: str
    level: Level
    reason: str


@dataclass(frozen=True)
class Policy:
    """What refuses a migration.

    Attributes:
        default: of static findings that nothing confirms and nothing speaks against.
        restart: of a serving version that cannot be started anew on the new schema.
        hours: for which statements must have been counted before it means something that one is not among them.
        findings: decisions, of which the first that fits counts.
    """

    default: Level = "refuse"
    restart: Level = "warn"
    hours: float = 24.0
    findings: tuple[Decision, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Reads an object with these fields; what is left out has its default."""
        value = json.loads(text)
        return cls(**{**value, "findings": tuple(Decision(**each) for each in value.pop("findings", ()))})

    def of(self, rule: str, name: str) -> Decision | None:
        """The decision about a finding."""
        return next((e for e in self.findings if fnmatchcase(rule, e.rule) and fnmatchcase(name, e.object)), None)


def weighed(found: Sequence[Finding], schema: Snapshot, evidence: Evidence, policy: Policy) -> list[dict[str, Any]]:
    """The static findings that are not safe, with what they count for.

    Args:
        found: by the compatibility rules.
        schema: before the migration.
        evidence: of the statements that are used.
        policy: of the module.
    """
    return [_weighed(each, schema, evidence, policy) for each in found if each.level != "safe"]


def _weighed(each: Finding, schema: Snapshot, evidence: Evidence, policy: Policy) -> dict[str, Any]:
    words = described(each)
    if decided := policy.of(each.rule, each.object):
        level = "breaks" if decided.level == "refuse" else "risky"
        return words | {"level": level, "why": f"{each.why} {_decided(decided)}"}
    if each.level != "breaks":
        return words
    touching = evidence.touching(each.object, schema) if evidence.statements else None
    if touching:
        more = f" and {len(touching) - 1} more" if len(touching) > 1 else ""
        return words | {"why": f"{each.why} Used by: {touching[0].shown}{_calls(touching[0].calls)}{more}."}
    if touching is not None and evidence.hours >= policy.hours:
        return words | {"level": "risky", "why": f"Unconfirmed: none of the {evidence.seen} touches it. {each.why}"}
    unless = (
        ""
        if touching is None
        else f" None of the {evidence.seen} touches it, but that is less than {policy.hours:g} h."
    )
    if policy.default == "warn":
        return words | {
            "level": "risky",
            "why": f"Unconfirmed, and the module's settings let it pass.{unless} {each.why}",
        }
    return words | {"why": f"{each.why}{unless}"}


def of_statements(outcome: Outcome, evidence: Evidence, policy: Policy) -> Iterator[dict[str, Any]]:
    """The findings of the statements that mean something else now."""
    for kind in (
        _Kind(
            "statement-fails",
            "breaks",
            outcome.broken,
            "a statement of the serving version no longer plans",
            "Expand first: keep what it uses until no version that uses it serves.",
        ),
        _Kind(
            "result-type-changed",
            "risky",
            outcome.reshaped,
            "a statement gives another result, so what is prepared of it fails once on each connection "
            "(SQLSTATE 0A000, cached plan must not change result type)",
            _PREPARED,
        ),
        _Kind(
            "plan-worse",
            "risky",
            outcome.slower,
            "a statement is planned without an index that served it",
            "Keep the index, or one with the same leading columns, until no version needs it.",
        ),
    ):
        yield from kind.findings(evidence, policy)


@dataclass(frozen=True)
class _Kind:
    rule: str
    level: str
    changed: Sequence[Changed]
    title: str
    instead: str

    def findings(self, evidence: Evidence, policy: Policy) -> Iterator[dict[str, Any]]:
        for each in self.changed[:_NAMED]:
            level, why = self.level, f"{each.why}{_calls(each.statement.calls)}."
            if self.rule == "statement-fails" and each.statement.calls == 1:
                level, why = "risky", f"{why} Seen once since {evidence.since}: it may be an earlier migration's."
            if decided := policy.of(self.rule, each.statement.shown):
                level, why = ("breaks" if decided.level == "refuse" else "risky"), f"{why} {_decided(decided)}"
            yield {
                "level": level,
                "rule": self.rule,
                "what": f"{self.title}: {each.statement.shown}",
                "why": why,
                "instead": self.instead,
            }
        if (more := len(self.changed) - _NAMED) > 0:
            yield {
                "level": self.level,
                "rule": self.rule,
                "what": f"{more} more of {len(evidence.statements)} statements: {self.title}",
                "why": "",
                "instead": self.instead,
            }


_PREPARED = (
    "Let the driver repeat what fails with 0A000 outside of a transaction (pgx does on its own, but for what is in a transaction), "
    "or cache no statements (pgx default_query_exec_mode=exec or cache_describe with a pool that is reset, JDBC prepareThreshold=0, "
    "npgsql Max Auto Prepare=0, asyncpg statement_cache_size=0); or have the version name its columns instead of *."
)


def of_answers(version: str, seen: Answers, policy: Policy) -> Iterator[dict[str, Any]]:
    """The finding of requests that failed on the way and were answered in the end, or of an end of the process."""
    if seen.down:
        yield {
            "level": "breaks",
            "rule": "serving-ended",
            "what": f"{version} ended while or after the schema changed, and was started again",
            "why": "; ".join(seen.examples),
            "instead": "See its log for the cause. Expand first, contract once no older version serves.",
        }
        return
    if not seen.failed:
        return
    cached = any("cached plan" in each for each in seen.examples)
    why = f"{'; '.join(seen.examples)}. Clients of the real one would lose such requests while the migration commits."
    level = "risky"
    if decided := policy.of("requests-lost", version):
        level, why = ("breaks" if decided.level == "refuse" else "risky"), f"{why} {_decided(decided)}"
    yield {
        "level": level,
        "rule": "requests-lost",
        "what": f"{version} failed {seen.failed} of {seen.asked} requests through the migration, and then answered again",
        "why": why,
        "instead": _PREPARED
        if cached
        else "Split the migration into steps that lock less; or migrate when there is little traffic.",
    }


def of_locks(
    held: Sequence[Held], rows: Mapping[str, int], sample: Mapping[str, tuple[int, int]], policy: Policy
) -> Iterator[dict[str, Any]]:
    """The findings of locks that clients of the real database would wait for.

    Args:
        held: on tables that were there before.
        rows: of the real tables that have many.
        sample: rows that were rehearsed with and rows that there are, by table; empty if that was no sample.
        policy: of the module.
    """
    for each in held:
        had, there = sample.get(each.table, (0, 0))
        seconds, estimate = each.seconds, ""
        if 0 < had < there and seconds >= _SCALED:
            seconds *= there / had
            estimate = f" Estimated in proportion from {each.seconds:.2f} s on {had:,} of {there:,} rows; what does not depend on rows takes no longer."
        if seconds < LONG:
            continue
        size = f" (about {rows[each.table]:,} rows)" if each.table in rows else ""
        level, why = (
            "risky",
            f"It blocks {each.blocks}, which wait for it or time out. Taken by: {each.statement}.{estimate}",
        )
        if decided := policy.of("lock-held", each.table):
            level, why = ("breaks" if decided.level == "refuse" else "risky"), f"{why} {_decided(decided)}"
        yield {
            "level": level,
            "rule": "lock-held",
            "what": f"the migration holds {each.name} on {each.table}{size} for about {seconds:.1f} s",
            "why": why,
            "instead": "Take the steps of docs/migrations.md that lock for a moment only (NOT VALID and VALIDATE, CONCURRENTLY, batches).",
        }


def of_restart(version: str, target: str, said: str, policy: Policy) -> dict[str, Any]:
    """The finding of a serving version that cannot be started anew."""
    return {
        "level": "breaks" if policy.restart == "refuse" else "risky",
        "rule": "restart-fails",
        "what": f"{version} keeps running but cannot be started anew on this schema",
        "why": f"{said}. Until {target or 'the new version'} has the traffic, a pod of {version} that is lost does not come back.",
        "instead": "Migrate when no node is drained and no pod is moved; more replicas make the time matter less.",
    }


def _decided(decided: Decision) -> str:
    return f"({'Refused' if decided.level == 'refuse' else 'Accepted'} by the settings: {decided.reason})"


def _calls(calls: int) -> str:
    return f" (called {calls:,} times)" if calls > 1 else " (called once)" if calls else ""
