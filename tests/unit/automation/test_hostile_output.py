"""Whatever pods say, there is a verdict with the right exit code, and nothing of what they say can pass for anything else."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pulumi.automation import CommandResult
from pulumi.automation.errors import create_command_error

from automation import backup, rehearsal, wording
from automation.database import parse as parse_database
from automation.pods import PodFacts
from automation.progress import Narrator, Progress
from automation.pulumi_adapter import _MEANINGS, Recorder, _failure, classify
from automation.rollout import Rollout
from automation.steps import Diagnostic, Failure, Run, Step
from automation.verdict import Outcome, Serving, Snapshot, Verdict, judge
from automation.watch import Watch
from components.backing_up import BackedUp
from components.errors import BackupFailed, NotDropped, RehearsalFailed
from components.redact import Redactor
from components.rehearsing import Rehearsed, _refuses
from tests.unit.hostile import TRICKS, hostile, messages

ENGINE = "3.274.1"
RELEASE = "urn:pulumi:dev::rollout::rollout:index:Module$rollout:index:Migration$kubernetes:batch/v1:Job::ledger-1.2.0"
POD = PodFacts(
    "ledger-x", "ledger", "1.2.0", "ledger-1-2-0-migrate-ab", "migrate", "migrate", "Failed", False, True, 0, 1, "", "", "",
    witnessed=True,
)  # fmt: skip
STEP = Step(RELEASE, "Job", "ledger-1.2.0", "ledger", "migration", "create", "failed", POD.job, "1.2.0")
# What stands at the beginning of a line of the report is ours, whatever the pod says.
OURS = re.compile(
    r"ledger 1\.2\.0: migration failed \(Job |  \| |    \| |  statement( at .*)?:$|  at |  blocked by: |  hint: |  last log lines:"
    r"|  previous version 1\.1\.0 still serving \(2/2 ready\)$|  database unchanged: |  WHETHER THE DATABASE WAS CHANGED IS NOT KNOWN: "
    r"|  THE FAILED MIGRATION HAS CHANGED THE DATABASE; it left:$|    |migration_failed in \d+\.\d s$"
)

thorough = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Source:
    """A cluster that says what it is given."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")

    def pods(self) -> tuple[list[PodFacts], str]:
        return [], "1"

    def watch_pods(self, since: str, seconds: int) -> list[tuple[bool, PodFacts]]:
        return []

    def follow_log(self, pod: str, container: str) -> list[str]:
        return self._lines

    def log_tail(self, pod: str, container: str, lines: int) -> list[str]:
        return self._lines

    def warnings(self, pod: str) -> list[str]:
        return self._lines

    def is_scaling_up(self, pod: str) -> bool:
        return False

    def stalled(self) -> dict[tuple[str, str], object]:
        return {}

    def end_job(self, job: str) -> None: ...


def verdict_on(message: str, witness: str, log: str) -> tuple[Verdict, list[Progress]]:
    progress: list[Progress] = []
    clean = Redactor(["hunter2-secret"])
    watch = Watch(Source(log), Narrator(progress.append, clean), clean)  # type: ignore[arg-type]
    watch.see(replace(POD, phase="Running", exit_code=None), gone=False)
    watch.see(replace(POD, termination_message=message, witness=witness), gone=False)
    watched = watch.stop(0.0)
    verdict = judge(
        "dev",
        ENGINE,
        {"ledger": "1.2.0"},
        Run(False, (STEP,), (Diagnostic("error", log, RELEASE),), failure=Failure("failed", "update failed")),
        before=Snapshot({"ledger": Serving("1.1.0", 2, 2)}),
        after=Snapshot({"ledger": Serving("1.1.0", 2, 2)}),
        watched=watched,
    )
    return verdict, progress


def assert_harmless(text: str) -> None:
    for line in text.split("\n"):
        assert all(c == "\t" or (c.isprintable() or unicodedata.category(c) == "Zs") for c in line), ascii(line)
        assert not line.lstrip().startswith("::"), line
        assert not re.search(r"##[A-Za-z]*\[", line), line
    text.encode()  # so that a file or a terminal can take it


def strict(document: object) -> object:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(json.dumps(document), parse_constant=refuse)


@thorough
@given(messages, messages, hostile)
@example("[" * 1000, '{"unchanged": true, "more": "x"}', "".join(TRICKS))
def test_whatever_a_pod_says_its_failed_migration_is_the_verdict(message: str, witness: str, log: str) -> None:
    verdict, progress = verdict_on(message, witness, log)
    assert (verdict.outcome, verdict.exit_code) == (Outcome.MIGRATION_FAILED, 3)
    text = wording.text(verdict)
    assert_harmless(text)
    for line in text.split("\n"):
        assert OURS.match(line), line
    assert sum(line.startswith("  previous version") for line in text.split("\n")) == 1
    strict(verdict.as_json())
    assert any(p.kind == "cause" for p in progress)
    for each in progress:
        assert "\n" not in str(each)
        assert_harmless(str(each))


@thorough
@given(messages, st.sampled_from(["passed", "refused", "migration_failed", "impossible"]), hostile)
def test_whatever_a_rehearsal_says_it_is_reported(message: str, outcome: str, log: str) -> None:
    clean = Redactor()
    found = rehearsal.report(
        Rehearsed("ledger", "1.2.0", "1.1.0", "j", outcome, 1.0, message, tuple(log.split("\n"))),  # type: ignore[arg-type]
        clean,
    )
    verdict = judge(
        "dev", ENGINE, {"ledger": "1.2.0"}, Run(ok=outcome == "passed"), before=Snapshot({"ledger": Serving("1.1.0", 2, 2)}),
        after=Snapshot({"ledger": Serving("1.1.0", 2, 2)}), rehearsals={"ledger": found},
    )  # fmt: skip
    assert verdict.exit_code == (0 if outcome == "passed" else 2)
    assert_harmless(wording.text(verdict))
    strict(verdict.as_json())
    assert _refuses(message) in (True, False)


@thorough
@given(messages, st.booleans(), hostile)
def test_whatever_a_backup_says_it_is_reported(message: str, ok: bool, log: str) -> None:
    found = backup.report(BackedUp("ledger", "1.2.0", "j", ok, message, tuple(log.split("\n")), 1.0), Redactor())
    strict(found.as_json())
    assert found.ok or not ok
    verdict = judge(
        "dev",
        ENGINE,
        {"ledger": "1.2.0"},
        Run(ok=found.ok),
        before=Snapshot(),
        after=Snapshot(),
        backups={"ledger": found},
    )
    assert verdict.exit_code == (0 if found.ok else 3)
    assert_harmless(wording.text(verdict))


@thorough
@given(messages)
def test_whatever_a_pod_says_the_programs_errors_are_one_line(words: str) -> None:
    for error in (
        RehearsalFailed("ledger", "1.2.0", "j", "refused", words),
        BackupFailed("ledger", "1.2.0", "j", words),
        NotDropped("ledger", "d", "j", words),
    ):
        assert "\n" not in str(error)
        assert_harmless(str(error))


@thorough
@given(messages)
def test_a_witness_is_read_or_is_none(message: str) -> None:
    found = parse_database(message)
    assert found is None or (found.unchanged in (True, False, None) and found.more >= 0)


@pytest.mark.parametrize("trick", TRICKS, ids=range(len(TRICKS)))
@pytest.mark.parametrize("place", ["reason", "message", "error", "notice", "lock"])
def test_no_channel_lets_a_trick_through(trick: str, place: str) -> None:
    clean = Redactor()
    progress: list[Progress] = []
    narrator = Narrator(progress.append, clean)
    pod = replace(POD, kind="serve", job="", reason="ImagePullBackOff", message=trick)
    if place == "reason":
        pod = replace(pod, reason=trick or "x", message="")
    narrator.pod_changed(pod, 0, 1)
    narrator.given_up(pod, clean(f"Pod {pod.name}: {pod.state}"))
    verdict = Verdict(
        "dev", ENGINE, Outcome.LOCKED if place == "lock" else Outcome.REFUSED, 1.0,
        error=trick, notices=(trick,), lock=trick if place == "lock" else "",
    )  # fmt: skip
    for text in [wording.text(verdict), *map(str, progress)]:
        assert_harmless(text)
    assert "Nothing was changed." not in [
        line for line in wording.text(replace(verdict, outcome=Outcome.LOCKED)).split("\n") if line
    ]


def test_colours_are_left_out_and_words_of_every_language_stay() -> None:
    clean = Redactor()
    assert clean("\x1b[31mERREUR\x1b[0m:\u00a0la relation « été » n’existe pas ✓ 日本 👩") == (
        "ERREUR:\u00a0la relation « été » n’existe pas ✓ 日本 👩"
    )
    assert clean("a\tb\r\nc") == "a\tb\nc"


@pytest.mark.parametrize("text", [text for text, _, _ in _MEANINGS])
def test_what_a_registry_says_is_not_taken_for_a_lock_or_a_missing_passphrase(text: str) -> None:
    """A provider quotes it, and a registry may well answer with 409."""
    said = f"error: 1 error occurred:\n  * ErrImagePull: {text}\nfile:///x/a.json: created by a@b (pid 1) at now"
    assert classify(255, said, "").kind != "failed"
    assert classify(255, said, "", [said], begun=True).kind == "failed"
    metadata = SimpleNamespace(
        urn=RELEASE, type="kubernetes:batch/v1:Job", op="create", new=None, old=None, detailed_diff=None, diffs=None
    )
    recorder = Recorder()
    recorder._step(metadata, "failed")
    error = create_command_error(CommandResult(said, "", 255))
    error.result = CommandResult(said, "", 255)  # type: ignore[attr-defined]
    assert _failure(error, recorder).kind == "failed"


def test_what_the_engine_says_of_a_job_that_nobody_saw_is_cleaned_too() -> None:
    """The words of a Job whose pod was not seen are the engine's, and so may quote a pod."""
    run = Run(
        False,
        (STEP,),
        (Diagnostic("error", "postgres://u:hunter2@h\x1b[2J refused", RELEASE),),
        failure=Failure("failed", ""),
    )
    verdict = judge("dev", ENGINE, {"ledger": "1.2.0"}, run, before=Snapshot(), after=Snapshot())
    rollout = Rollout.__new__(Rollout)
    rollout._clean = Redactor()
    [module] = rollout._without_secrets(verdict).modules
    assert module.job is not None
    assert module.job.words.message == "postgres://u:[secret]@h\\x1b[2J refused"
