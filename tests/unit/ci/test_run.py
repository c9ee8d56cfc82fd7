"""How the scripts run rollout: what they leave, how they end, and who hears of a cancelled job."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from ci.run import main
from devkit.workspace import REPOSITORY
from tests.unit.hostile import TRICKS

VERDICT: dict[str, object] = {"outcome": "deployed", "modules": [], "changes": {}, "error": None}


@pytest.fixture(autouse=True)
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLANS", str(tmp_path / "plans"))
    return tmp_path / "plans"


class Said:
    """A rollout that prints something and ends with a code."""

    def __init__(self, out: str, code: int = 0, text: str = "all of it") -> None:
        self.out, self.code, self.text = out, code, text
        self.given: list[str] = []

    def __call__(self, arguments: Sequence[str]) -> int:
        self.given = list(arguments)
        print(self.out)
        Path(self.given[self.given.index("--report") + 1]).write_text(self.text)
        return self.code


def test_a_verdict_is_kept_and_told(plans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "dev", "--set", "ledger=1.1.0"], said := Said(json.dumps(VERDICT))) == 0
    assert said.given[-2:] == ["--set", "ledger=1.1.0"]
    assert str(REPOSITORY / "policies") in said.given
    assert json.loads((plans / "dev.json").read_text()) == VERDICT
    assert "all of it" in (plans / "dev.md").read_text()
    assert (plans / "dev.md").read_text() in capsys.readouterr().out


@pytest.mark.parametrize("out", ["stray\n" + json.dumps(VERDICT), json.dumps(VERDICT)[:-9], "", "{}", "[]", "null"])
@pytest.mark.parametrize("code", [0, 3])
def test_a_verdict_that_cannot_be_read_is_a_failure(out: str, code: int, plans: Path) -> None:
    assert main(["up", "dev"], Said(out, code)) == (code or 1)
    assert "did not finish" in (plans / "dev.md").read_text()


def test_a_report_that_cannot_be_made_changes_no_exit_code(plans: Path) -> None:
    assert main(["up", "dev"], Said('{"outcome": "refused", "modules": [{}]}', 3)) == 3
    assert "its report could not be made" in (plans / "dev.md").read_text()


def test_the_summary_of_a_job_is_as_long_as_github_takes(
    plans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    main(["up", "dev"], Said(json.dumps(VERDICT)))
    main(["up", "prod"], Said(json.dumps(VERDICT), text="é€😀\n" * 80_000))
    summary = (tmp_path / "summary").read_text()
    assert "### ✅ `dev`" in summary
    assert "### ✅ `prod`" in summary
    assert len(summary.encode()) < 2**20
    assert summary.count("```") == 4


def test_an_earlier_report_is_not_taken_for_this_ones(plans: Path) -> None:
    main(["up", "dev"], Said(json.dumps(VERDICT), text="of yesterday"))

    def broken(arguments: Sequence[str]) -> int:
        raise RuntimeError

    assert main(["up", "dev"], broken) == 1
    assert "of yesterday" not in (plans / "dev.md").read_text()


def test_options_that_mean_nothing_are_reported(plans: Path) -> None:
    assert main(["up", "dev", "--sett"]) == 64
    assert "did not finish" in (plans / "dev.md").read_text()


def test_a_secret_that_a_pipeline_has_not_is_missing_and_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    monkeypatch.setenv("AWS_ROLE_ARN", "")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///state")
    main(["preview", "dev"], Said(json.dumps(VERDICT)))
    assert os.environ["PULUMI_CONFIG_PASSPHRASE"] == "", "by hand it may be meant"
    monkeypatch.setenv("CI", "true")
    main(["preview", "dev"], Said(json.dumps(VERDICT)))
    assert "PULUMI_CONFIG_PASSPHRASE" not in os.environ
    assert "AWS_ROLE_ARN" not in os.environ
    assert os.environ["PULUMI_BACKEND_URL"] == "file:///state"


@pytest.mark.parametrize(
    ("code", "told"), [(0, "### ⚠️ `prod`: checked without its cluster"), (2, "### ⛔ `prod`: refused")]
)
def test_a_stack_whose_cluster_a_preview_may_not_reach_is_checked(
    code: int, told: str, plans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(arguments: Sequence[str]) -> int:
        assert (arguments[0], arguments[-1]) == ("check", "prod")
        print("prod: what was found")
        return code

    monkeypatch.setenv("PREVIEW", "check")
    assert main(["preview", "prod"], check) == code
    assert (plans / "prod.md").read_text().startswith(told)
    assert "prod: what was found" in (plans / "prod.md").read_text()


def test_a_way_to_preview_that_is_not_known_is_refused(plans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW", "chek")
    assert main(["preview", "prod"], lambda _: pytest.fail("it was begun")) == 2
    assert "allowed: check" in (plans / "prod.md").read_text()


# A Python that hears signals instead of running rollout.
# Sets its own handlers, as rollout does: where the tests run in the background, SIGINT is ignored from the beginning.
LISTENING = f"""#!{sys.executable}
import os, signal
from pathlib import Path

heard = Path(os.environ["HEARD"])

def hear(number, frame):
    heard.write_text(f"{{heard.read_text()}} {{os.getpid()}} {{signal.Signals(number).name}}")
    os._exit(130)

signal.signal(signal.SIGINT, hear)
signal.signal(signal.SIGTERM, hear)
heard.write_text("ready")
while True:
    signal.pause()
"""


def _lines_that_roll_out() -> list[str]:
    """The lines of GitHub's jobs that run ci/preview or ci/up. GitLab signals every process of a job, and needs no more."""
    files = (REPOSITORY / ".github" / "workflows").glob("*.yml")
    jobs = [job for file in files for job in yaml.safe_load(file.read_text())["jobs"].values()]
    lines = {step.get("run", "") for job in jobs for step in job.get("steps", ())}
    return sorted(line for line in lines if "ci/up" in line or "ci/preview" in line)


@pytest.mark.slow
@pytest.mark.parametrize("line", _lines_that_roll_out())
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_rollout_is_the_process_that_a_cancelled_step_signals(
    line: str, number: signal.Signals, tmp_path: Path
) -> None:
    heard, python = tmp_path / "heard", tmp_path / "python"
    python.write_text(LISTENING)
    python.chmod(0o755)
    step = tmp_path / "step.sh"  # as GitHub writes it
    step.write_text(line)
    environment = {**os.environ, "ROLLOUT_PYTHON": str(python), "HEARD": str(heard), "STACK": "prod"}
    with subprocess.Popen(["bash", "-e", str(step)], cwd=REPOSITORY, env=environment) as process:
        try:
            end = time.monotonic() + 60
            while not heard.exists() or not heard.read_text():
                assert time.monotonic() < end
                time.sleep(0.02)
            process.send_signal(number)
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert heard.read_text().split() == ["ready", str(process.pid), number.name]


@pytest.mark.slow
def test_the_scripts_run_rollout(tmp_path: Path) -> None:
    environment = {**os.environ, "ROLLOUT_PYTHON": sys.executable, "PROJECT": str(tmp_path)}
    done = subprocess.run([REPOSITORY / "ci/up", "prod"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no Pulumi.yaml" in done.stdout


def obeyed(lines: Sequence[str]) -> list[str]:
    """The commands that GitHub's runner takes from a step's lines (actions/runner, ActionCommandManager.TryProcessCommand)."""
    found, stopped = [], ""
    for line in lines:
        command = line.lstrip().split("::", 2)[1:] if line.lstrip().startswith("::") else []
        if stopped:
            stopped = "" if command[:1] == [stopped] else stopped
        elif command[:1] == ["stop-commands"]:
            stopped = command[1]
        elif len(command) == 2 or "##[" in line:
            found.append(line)
    assert not stopped, "what comes after it would be text too"
    return found


@pytest.mark.parametrize("trick", TRICKS, ids=range(len(TRICKS)))
def test_nothing_that_is_printed_is_a_command_to_the_runner(
    trick: str, plans: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    verdict = {
        **VERDICT,
        "error": trick,
        "notices": [trick],
        "modules": [{"name": "m", "version": "1", "outcome": trick}],
    }

    def up(arguments: Sequence[str]) -> int:
        print(json.dumps(verdict))
        print(f"x{trick}", file=sys.stderr)
        Path(arguments[arguments.index("--report") + 1]).write_text("", encoding="utf-8")
        return 3

    assert main(["up", "dev"], up) == 3
    out, err = capfd.readouterr()
    assert obeyed(out.split("\n")) == []
    assert err.startswith("::stop-commands::")
    report = (plans / "dev.md").read_text(encoding="utf-8")
    assert "its report could not be made" not in report
    fences = [line for line in report.split("\n") if line.startswith("```")]
    assert len(fences) % 2 == 0
    outside = "".join(part for number, part in enumerate(report.split("```")) if number % 2 == 0)
    assert "<script>" not in re.sub("`[^`\n]*`", "", outside)
    assert all(c.isprintable() or c in "\n\t" or unicodedata.category(c) == "Zs" for c in report)
