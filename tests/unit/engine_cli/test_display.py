"""The text on the screen. That it is the CLI's, for all recorded event streams, is tested in tests/parity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline.cli.display.documents import Digest
from offline.cli.display.progress import Progress
from offline.cli.display.text import Options, diff_info, render, summary_text, type_name
from offline.cli.eventlog import EventLog
from tests.parity import recordings


def test_the_cause_is_told_before_its_consequence() -> None:
    out: list[str] = []
    step = recordings.load("failed-migration-halts-and-reverts").steps[1]
    display = Progress(Options("update", False, "dev", "rec"), out.append)
    for event in step["events"]:
        display.show(event)
    display.close()
    text = "".join(out)
    diagnostics = text[text.index("Diagnostics:") :]
    assert diagnostics.index("ledger-2-migrate") < diagnostics.index("update failed")


def test_secrets_are_not_shown() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "x"}
    assert render({"a": secret}, 0) == "{\n    a: [secret]\n}"


def test_summary_counts() -> None:
    text = summary_text({"resourceChanges": {"create": 2, "same": 1, "delete": 1}, "isPreview": True}, errored=0)
    assert text == "Resources:\n    + 2 to create\n    - 1 to delete\n    3 changes. 1 unchanged\n"


def test_diff_info_names_top_level_properties() -> None:
    step = {"op": "update", "old": {}, "new": {}, "detailedDiff": {
        "spec.replicas": {"diffKind": "update"}, "data": {"diffKind": "add"}, '["a.b"].c': {"diffKind": "delete"}}}  # fmt: skip
    assert diff_info({**step, "old": {"custom": True}, "new": {"custom": True}}) == "diff: +data~a.b,spec"


def test_type_names_are_shortened_as_the_cli_does() -> None:
    assert type_name("aws:s3/bucket:Bucket") == "aws:s3:Bucket"
    assert type_name("kubernetes:apps/v1:Deployment") == "kubernetes:apps/v1:Deployment"


def test_json_of_a_preview(capsys: pytest.CaptureFixture[str]) -> None:
    step = recordings.load("install-upgrade-noop-destroy").steps[2]
    display = Digest(Options("preview", True, "dev", "rec"))
    for event in step["events"]:
        display.show(event)
    display.close()
    document = json.loads(capsys.readouterr().out)
    names = [(s["op"], s["urn"].rsplit("::", 1)[1]) for s in document["steps"]]
    assert names == [
        ("same", "rec-dev"), ("create", "ledger-2-migrate"), ("create", "ledger-2"), ("update", "ledger"),
        ("delete", "ledger-1"), ("delete", "ledger-1-migrate")]  # fmt: skip
    assert document["changeSummary"] == {"create": 2, "delete": 2, "same": 4, "update": 1}
    update = next(s for s in document["steps"] if s["op"] == "update")
    assert update["detailedDiff"] == {"spec.selector.version": {"kind": "update", "inputDiff": False}}


def test_an_update_goes_on_when_nobody_reads_about_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def closed(_: str) -> None:
        raise BrokenPipeError

    display = Progress(Options("update", False, "dev", "rec"), lambda _: None)
    display._write = closed
    log = EventLog(display, str(tmp_path / "events"))
    log({"preludeEvent": {"config": {}}})
    log({"stdoutEvent": {"message": "x"}})
    log.close()
    assert "BrokenPipeError" in capsys.readouterr().err
    assert [list(json.loads(line))[2] for line in (tmp_path / "events").read_text().splitlines()] == [
        "preludeEvent", "stdoutEvent", "cancelEvent"]  # fmt: skip
