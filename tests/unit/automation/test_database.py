"""What the witness said, as the verdict tells it."""

from __future__ import annotations

import json
from typing import Any

from automation.database import Database, findings, parse, together
from automation.rehearsal import Rehearsal
from automation.steps import Run
from automation.verdict import (
    JobReport,
    ModuleVerdict,
    Outcome,
    Serving,
    Snapshot,
    Verdict,
    halted_by,
    judge,
)
from automation.wording import text
from components.foreign_text import Fields

FINDING = {
    "level": "breaks",
    "rule": "column-dropped",
    "what": "removed column a.b",
    "why": "It is read.",
    "instead": "Later.",
}


def words(**more: Any) -> str:
    return json.dumps({"unchanged": False, "changes": ["added table a"], "findings": [FINDING], "message": ""} | more)


def failed(database: Database | None) -> str:
    job = JobReport("ledger-1-2-0-migrate-x", failed=True, database=database)
    module = ModuleVerdict(
        "ledger", "1.2.0", "1.1.0", Outcome.MIGRATION_FAILED, job=job, serving=Serving("1.1.0", 2, 2)
    )
    return text(Verdict("dev", "3.274.1", Outcome.MIGRATION_FAILED, 1.0, (module,)))


def test_a_database_that_was_changed_by_a_failed_migration_is_told_in_full() -> None:
    told = failed(parse(words(more=3)))
    assert "THE FAILED MIGRATION HAS CHANGED THE DATABASE" in told
    for part in ("added table a", "and 3 more", "removed column a.b: BREAKS the previous version", "instead: Later."):
        assert part in told


def test_unchanged_is_said_only_where_it_was_seen() -> None:
    assert "database unchanged" in failed(parse(words(unchanged=True, changes=[], findings=[])))
    assert "NOT KNOWN: no route" in failed(parse(words(unchanged=None, changes=[], findings=[], message="no route")))
    assert "database" not in failed(None)


def test_what_is_no_message_of_the_witness_is_none() -> None:
    assert [parse(m) for m in ("", "killed", "[]", '{"outcome": "migrated"}')] == [None] * 4


def test_the_pods_of_one_job_are_taken_together() -> None:
    unchanged, changed, unknown = Database(True), Database(False, ("x",)), Database(None, message="why")
    assert together([]) is None
    assert together([unchanged, unchanged]) == unchanged
    seen = together([changed, unchanged])
    assert seen
    assert (seen.unchanged, seen.changes) == (False, ("x",))
    assert together([unchanged, unknown]) == unknown


REFUSED = Rehearsal(
    "refused", "ledger-1-5-0-rehearse-x", "1.1.0", 8.0, findings=findings(Fields({"findings": [FINDING]})), message="m"
)


def test_a_refused_rehearsal_refuses_the_update_with_the_column_named() -> None:
    verdict = judge(
        "dev", "3.274.1", {"ledger": "1.5.0"}, Run(ok=False), before=Snapshot({"ledger": Serving("1.1.0", 2, 2)}),
        after=Snapshot({"ledger": Serving("1.1.0", 2, 2)}), rehearsals={"ledger": REFUSED},
    )  # fmt: skip
    assert (verdict.outcome, verdict.exit_code) == (Outcome.REFUSED, 2)
    assert verdict.as_json()["modules"][0]["rehearsal"]["findings"][0]["what"] == "removed column a.b"
    told = text(verdict)
    for part in (
        "refused by its rehearsal",
        "removed column a.b: BREAKS 1.1.0",
        "the real database was not touched",
        "still serving (2/2 ready)",
    ):
        assert part in told


def test_a_migration_that_fails_in_its_rehearsal_is_refused_as_nothing_real_was_touched() -> None:
    module = ModuleVerdict("ledger", "1.2.0", "1.1.0", Outcome.UNCHANGED)
    halted = halted_by(Rehearsal("migration_failed", "j", "1.1.0", 5.0, message="division by zero"), module)
    assert halted.outcome is Outcome.REFUSED
    assert halted.detail == "its migration fails in the rehearsal: division by zero"
    assert halted.job
    assert halted.job.database
    assert halted.job.database.unchanged is True
