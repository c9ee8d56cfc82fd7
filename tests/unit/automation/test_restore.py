"""What is asked before a restore, and what is told of backups; tests/cluster/test_backup.py has the real thing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import settings
from automation import restore
from automation.errors import UsageError
from automation.pulumi_cli import PulumiCli
from automation.restore import Available, Listing, ModuleBackups, Question, Restoring, _chosen, text
from automation.rollout import Facts, Request
from automation.verdict import Outcome, Serving, Snapshot
from components.backup import Backup

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
    listing = Listing("dev", "3.274.1", (LEDGER, payments))
    lines = text(listing).splitlines()
    assert lines[0] == "ledger (pvc, database dev-ledger, now about 1500 rows, 9.0 MiB on disk)"
    assert lines[1].split() == [
        BACKUP.id, "before", "1.0.0", "->", "1.1.0", "1200", "rows", "3.0", "MiB", "2", "days", "ago",
    ]  # fmt: skip
    assert lines[-1] == "  only its tool can list them"
    assert listing.exit_code == 2
    assert listing.as_json()["modules"][0]["backups"][1]["id"] == "older"


class StackOfOne:
    """A stack whose ledger has a backup, and which may be frozen."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, freeze: str | None) -> None:
        (folder / "Pulumi.yaml").write_text("name: rollout\nruntime: python\n")
        (folder / "Pulumi.dev.yaml").write_text("encryptionsalt: v1:x\nconfig: {}\n")
        monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{folder}/state")
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "x")
        monkeypatch.setattr("automation.rollout.find", lambda _: PulumiCli("3.274.1", Path("pulumi")))
        config: dict[str, Any] = {
            "modules": {"ledger": {"image": "example.org/ledger", "version": "1.1.0", "backup": "pvc"}},
            "postgres": {"uri": "postgresql://admin:p@10.0.0.1:5432"},
        }
        values = {f"rollout:{k}": json.dumps(v) for k, v in config.items()} | (
            {"rollout:freeze": freeze} if freeze else {}
        )
        wanted = settings.load(values, stack="dev", root=folder, secret_keys=["rollout:postgres"])
        plan = Backup("ledger", wanted.version("ledger"), wanted.modules["ledger"], [], "migrator:1")
        backups = SimpleNamespace(planned={"ledger": plan})
        program = SimpleNamespace(settings=wanted, backups=backups, refusal="")
        facts = Facts(before=Snapshot({"ledger": Serving("1.0.0", 1, 1)}))

        @contextmanager
        def preflight(_: object) -> Iterator[SimpleNamespace]:
            yield SimpleNamespace(result=lambda: facts)

        self.looked = False
        self.asked = False
        self.run = Restoring(Request("dev", folder))
        monkeypatch.setattr(restore, "Preflight", preflight)
        monkeypatch.setattr(self.run, "_program", lambda: program)
        monkeypatch.setattr(self.run._session, "preview", lambda *_: SimpleNamespace(failure=None))
        monkeypatch.setattr(self.run, "_listed", self.listed)

    def listed(self, backups: object, plan: Backup) -> ModuleBackups:
        self.looked = True  # which takes a Job, and may take a claim
        return LEDGER

    def confirmed(self, _: Question) -> bool:
        self.asked = True
        return False


def test_a_frozen_stack_refuses_a_restore_with_the_reason_before_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = StackOfOne(tmp_path, monkeypatch, "the end of the year")
    verdict = stack.run.restore("ledger", confirmed=stack.confirmed)
    assert (verdict.outcome, verdict.exit_code) == (Outcome.REFUSED, 2)
    assert "the stack is frozen: the end of the year" in verdict.error
    [ledger] = verdict.modules
    assert (ledger.name, ledger.outcome, ledger.serving) == ("ledger", Outcome.REFUSED, Serving("1.0.0", 1, 1))
    assert not stack.looked
    assert not stack.asked


def test_a_stack_that_is_not_frozen_asks_and_lists_its_backups_also_while_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = StackOfOne(tmp_path, monkeypatch, None)
    with pytest.raises(UsageError, match="not confirmed; nothing was changed"):
        stack.run.restore("ledger", confirmed=stack.confirmed)
    assert stack.asked
    assert StackOfOne(tmp_path, monkeypatch, "the end of the year").run.listing().modules == (LEDGER,)
