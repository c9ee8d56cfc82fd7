"""The text on the screen, replayed from event streams of Pulumi CLI v3.260.0 and compared with what it printed then."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from offline.engine.display import Digest, Options, Progress, diff_info, render, summary_text, type_name
from offline.engine.eventlog import EventLog

RECORDED = json.loads((Path(__file__).parent / "displayed.json").read_text(encoding="utf-8"))
KINDS = {"up": "update", "preview": "preview", "destroy": "destroy", "refresh": "refresh"}


def lines(text: str) -> list[str]:
    """Without durations, without the dots that tell that time passes, and without the words after a destroy."""
    text = re.sub(r"\(\d+(\.\d+)?s\)", "(Ns)", re.sub(r"Duration: \w+", "Duration: Ns", text))
    return [t for t in text.split("\n") if not t.startswith(("@ ", "The resources in", "If you want")) and t]


@pytest.mark.parametrize("step", RECORDED, ids=[s["scenario"] for s in RECORDED])
def test_text_is_the_clis(step: dict[str, Any]) -> None:
    out: list[str] = []
    kind = KINDS[step["run"][0]]
    display = Progress(Options(kind, kind == "preview", "dev", "rec"), out.append, heartbeat=False)
    for event in step["events"]:
        display.show(event)
    display.close()
    # The CLI's order of resources within "Diagnostics:" and of rows that end together is that of a Go map: any.
    assert sorted(lines("".join(out))) == sorted(lines(step["stdout"]))


def test_the_cause_is_told_before_its_consequence() -> None:
    out: list[str] = []
    step = next(s for s in RECORDED if s["scenario"].startswith("failed-migration"))
    display = Progress(Options("update", False, "dev", "rec"), out.append, heartbeat=False)
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
    step = next(s for s in RECORDED if s["scenario"] == "install-upgrade-noop-destroy, step 2")
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

    display = Progress(Options("update", False, "dev", "rec"), lambda _: None, heartbeat=False)
    display._write = closed
    log = EventLog(display, str(tmp_path / "events"))
    log({"preludeEvent": {"config": {}}})
    log({"stdoutEvent": {"message": "x"}})
    log.close()
    assert "BrokenPipeError" in capsys.readouterr().err
    assert [list(json.loads(line))[2] for line in (tmp_path / "events").read_text().splitlines()] == [
        "preludeEvent", "stdoutEvent", "cancelEvent"]  # fmt: skip
