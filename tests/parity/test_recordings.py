"""The offline engine against what the Pulumi CLI was recorded doing, as far as no cluster is needed for it."""

from __future__ import annotations

import contextlib
import io
import json
import re
from typing import Any

import pytest

from offline.backend.secrets import Passphrase
from offline.backend.state import Encoder, snapshot_from_json
from offline.cli.display.diff import Diff
from offline.cli.display.documents import Digest
from offline.cli.display.progress import Progress
from offline.cli.display.text import Display, Options
from tests.parity import recordings
from tests.parity.recordings import PASSPHRASE, Row
from tests.parity.runner import SALT
from tests.parity.scenarios import SCENARIOS

KINDS = {"up": "update", "preview": "preview", "destroy": "destroy", "refresh": "refresh"}
BY_COMMAND = [name for name, scenario in SCENARIOS.items() if scenario.via == "command"]


def shown(row: Row) -> str:
    """What the offline engine prints for a stream of events."""
    run, out = row["run"], io.StringIO()
    options = Options(KINDS[run[0]], run[0] == "preview", "dev", "rec")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        display: Display
        if "--json" in run:
            display = Digest(options)
        elif "--diff" in run:
            display = Diff(options)
        else:
            display = Progress(options, out.write)
        for event in row["events"]:
            display.show(event)
        display.close()
    return out.getvalue()


def lines(text: str) -> list[str]:
    """Without durations, the dots that tell that time passes, and the command's own words after and between the events."""
    text = re.sub(r"\(\d+(\.\d+)?s\)", "(Ns)", re.sub(r"Duration: \w+", "Duration: Ns", text))
    own = ("@ ", "The resources in", "If you want", "^C received", "SIGTERM received", "Note that terminating")
    return [line for line in text.split("\n") if line and not line.startswith(own)]


def outline(document: dict[str, Any]) -> Any:
    """What of a preview's document can be told from its events, which hold no whole states."""
    keys = ("op", "urn", "provider", "detailedDiff", "diffReasons", "replaceReasons")
    steps = [{k: s.get(k) for k in keys} for s in document["steps"]]
    return document["config"], document["changeSummary"], steps


def updates(scenario: str) -> list[tuple[int, Row]]:
    rows = enumerate(recordings.load(scenario).steps)
    return [(n, row) for n, row in rows if row["run"][0] in KINDS and row["events"]]


@pytest.mark.parametrize("scenario", BY_COMMAND)
def test_events_are_shown_in_the_clis_words(scenario: str) -> None:
    for number, row in updates(scenario):
        if "--json" in row["run"]:
            assert outline(json.loads(shown(row))) == outline(row["document"]), f"step {number}"
        elif "--diff" in row["run"] and "--refresh" in row["run"]:
            # The CLI shows the whole object around what a refresh found (docs/parity.md). What follows is compared.
            mine, theirs = (lines(t[t.index("(same)") :]) for t in (shown(row), row["stdout"]))
            assert mine == theirs, f"step {number}"
        elif row["exit"] != -9:  # killed: its last words were never said
            # The CLI's order of rows that end together, and of resources under "Diagnostics:", is that of a Go map: any.
            assert sorted(lines(shown(row))) == sorted(lines(row["stdout"])), f"step {number}"


def test_a_killed_updates_screen_is_the_clis_up_to_then() -> None:
    for scenario in (s for s in BY_COMMAND if s.startswith("kill-")):
        (row,) = (r for _, r in updates(scenario) if r["exit"] == -9)
        said = lines(shown(row))
        assert [line for line in lines(row["stdout"]) if line not in said] == [], scenario


def written(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint after the offline engine has read it and written it."""
    latest = checkpoint["checkpoint"]["latest"]
    secrets = Passphrase(latest["secrets_providers"]["state"]["salt"], PASSPHRASE)
    encoded = Encoder(checkpoint["checkpoint"]["stack"], secrets).encode(snapshot_from_json(latest, secrets))
    again: dict[str, Any] = json.loads(encoded)
    again["checkpoint"]["latest"]["manifest"]["time"] = latest["manifest"]["time"]
    return again


@pytest.fixture(scope="session")
def key() -> None:
    """Derived once: each derivation takes a third of a second."""
    Passphrase(SALT, PASSPHRASE).verify()


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("scenario", BY_COMMAND)
def test_a_state_of_the_cli_is_written_back_as_it_was(scenario: str) -> None:
    for number, row in enumerate(recordings.load(scenario).steps):
        checkpoint = row["checkpoint"]
        if checkpoint and checkpoint["checkpoint"].get("latest"):
            if scenario != "secrets":  # without a secret any salt will do
                checkpoint["checkpoint"]["latest"]["secrets_providers"]["state"]["salt"] = SALT
            assert written(checkpoint) == checkpoint, f"step {number}"


def test_every_scenario_is_recorded_and_every_recording_compared() -> None:
    assert recordings.recorded() == sorted(SCENARIOS)
    for name, scenario in SCENARIOS.items():
        ran = [tuple(row["run"]) for row in recordings.load(name).steps]
        assert ran == [step.run for step in scenario.steps], name
