"""What is asked before a restore, and what is told of backups; tests/cluster/test_backup.py has the real thing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from automation.errors import UsageError
from automation.restore import Available, Listing, ModuleBackups, Question, _chosen, text
from automation.verdict import EngineName

BACKUP = Available(
    "20260102T030405Z-1.0.0-to-1.1.0",
    "1.0.0",
    "1.1.0",
    (datetime.now(UTC) - timedelta(hours=49)).isoformat(),
    3 << 20,
    1200,
    4,
)
LEDGER = ModuleBackups("ledger", "pvc", "dev-ledger", (BACKUP, replace(BACKUP, id="older")), (9 << 20, 1500))


def test_the_question_says_what_is_lost_what_is_kept_and_what_serves() -> None:
    asked = Question("ledger", "dev-ledger", BACKUP, (9 << 20, 1500), "1.0.0").text
    for part in (
        "Database dev-ledger of ledger is replaced by backup 20260102T030405Z-1.0.0-to-1.1.0",
        "2 days ago",
        "before the migration from 1.0.0 to 1.1.0",
        "1200 rows in 4 tables; about 1500 rows, 9.0 MiB on disk, are there now",
        "1.0.0 serves now",
        "EVERYTHING WRITTEN SINCE THEN IS LOST",
        "dev-ledger_before_restore_",
    ):
        assert part in asked


def test_a_database_that_cannot_be_looked_at_and_a_module_that_does_not_serve_can_be_restored() -> None:
    asked = Question("ledger", "dev-ledger", BACKUP, None, None).text
    assert "what is there could not be looked at" in asked
    assert "nothing serves now" in asked


def test_the_newest_backup_is_taken_unless_another_is_named() -> None:
    assert _chosen(LEDGER, "").id == BACKUP.id
    assert _chosen(LEDGER, "older").id == "older"
    with pytest.raises(UsageError, match=r"has no backup slip; there are: 20260102T030405Z-1\.0\.0-to-1\.1\.0, older"):
        _chosen(LEDGER, "slip")


def test_backups_are_listed_newest_first_and_what_cannot_be_listed_says_why() -> None:
    payments = ModuleBackups("payments", "command", "dev-payments", message="only its tool can list them")
    listing = Listing("dev", EngineName("offline", "3"), (LEDGER, payments))
    lines = text(listing).splitlines()
    assert lines[0] == "ledger (pvc, database dev-ledger, now about 1500 rows, 9.0 MiB on disk)"
    assert lines[1].split() == [
        BACKUP.id, "before", "1.0.0", "->", "1.1.0", "1200", "rows", "3.0", "MiB", "2", "days", "ago",
    ]  # fmt: skip
    assert lines[-1] == "  only its tool can list them"
    assert listing.exit_code == 2
    assert listing.as_json()["modules"][0]["backups"][1]["id"] == "older"
