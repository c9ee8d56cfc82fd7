from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from automation.cli import _complain, main
from automation.pulumi_cli import PulumiCli
from automation.rollout import Rollout
from automation.verdict import Outcome, Verdict


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: rollout\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(
        "encryptionsalt: v1:x\nconfig:\n  rollout:modules:\n    ledger:\n      image: ghcr.io/x/ledger\n      version: 1.0.0\n"
    )
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/state")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "x")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PULUMI_ACCESS_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["up"],
        ["upp", "--stack", "dev"],
        ["up", "--stack", "dev", "--set", "ledger"],
        ["up", "--stack", "dev", "--set", "=1"],
        ["status", "--stack", "dev", "--set", "a=1"],
    ],
)
def test_arguments_that_mean_nothing_are_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 64
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "ledgr=1.1.0"], "unknown module 'ledgr'; the stack's modules are: ledger"),
        (["--set", "ledger=1.1"], "'1.1' is not a semantic version"),
        (["--set", "ledger=a b"], "'a b' is not a version"),
    ],
)
@pytest.mark.parametrize("command", ["up", "preview"])
def test_a_wrong_version_is_refused_and_nothing_is_written(
    command: str, arguments: list[str], said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p.name: p.read_bytes() for p in project.iterdir() if p.is_file()}
    assert main([command, "--stack", "dev", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in project.iterdir() if p.is_file()} == before


def test_a_stack_without_configuration_is_a_slip_and_the_others_are_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "--stack", "dve"]) == 2
    assert "configured there: dev" in capsys.readouterr().err


def test_a_folder_without_a_project_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--stack", "dev", "--cwd", str(tmp_path)]) == 2
    assert f"no Pulumi.yaml in {tmp_path}" in capsys.readouterr().err


def test_a_missing_passphrase_is_told_before_anything_starts(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    assert main(["up", "--stack", "dev"]) == 2
    assert "PULUMI_CONFIG_PASSPHRASE" in capsys.readouterr().err


def test_a_missing_backend_is_told_before_anything_starts(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    assert main(["up", "--stack", "dev"]) == 2
    assert "PULUMI_BACKEND_URL" in capsys.readouterr().err


def test_json_errors_are_one_document_on_stdout(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--stack", "dve", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["exit_code"]) == ("refused", 2)
    assert "Pulumi.dve.yaml" in document["error"]


def test_a_defect_of_our_own_is_told_apart_from_a_refusal(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_options: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("automation.cli._run", broken)
    assert main(["up", "--stack", "dev", "--json"]) == 70
    said = capsys.readouterr()
    assert json.loads(said.out)["outcome"] == "internal"
    assert "internal error: ZeroDivisionError: division by zero" in said.err


def test_destroy_without_anybody_to_ask_needs_yes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["destroy", "--stack", "dev"]) == 64
    assert "--yes" in capsys.readouterr().err


def test_the_librarys_functions_are_not_hidden_by_its_modules() -> None:
    import automation
    import automation.rollout
    import automation.stack_status
    import automation.wording

    assert all(callable(getattr(automation, name)) for name in automation.__all__)


def test_a_folder_that_is_no_policy_pack_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--stack", "dev", "--policy-pack", "nowhere"]) == 64
    assert "PulumiPolicy.yaml" in capsys.readouterr().err


def test_a_pipeline_gets_the_verdict_for_programs_and_for_people(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = Verdict("dev", "3.274.1", Outcome.REFUSED, 1.0, error="frozen until Monday")
    monkeypatch.setattr("automation.rollout.find", lambda _: PulumiCli("3.274.1", Path("pulumi")))
    monkeypatch.setattr(Rollout, "preview", lambda self: verdict)
    assert main(["preview", "--stack", "dev", "--json", "--report", str(project / "report")]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "frozen until Monday"
    assert (project / "report").read_text() == "refused: frozen until Monday\nNothing was changed.\nrefused in 1.0 s\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_output_that_has_not_every_character_changes_no_exit_code(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, raw in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding=encoding))
    (tmp_path / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {rollout:modules: {ledger: 日本✓}}\n", encoding="utf-8")
    assert main(["check", "--cwd", str(tmp_path), "--stack", "dev"]) == 2
    assert main(["status", "--cwd", str(tmp_path / "日本"), "--stack", "dev"]) == 2
    for name in written:
        getattr(sys, name).flush()
    assert b"\\u65e5" in written["stderr"].getvalue() or encoding == "utf-8"


def test_an_errors_other_lines_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    _complain("rollout: ", "the engine ended:\n::set-output name=x::y\n  more\x1b[2J")
    assert capsys.readouterr().err == ("rollout: the engine ended:\n  | ::set-output name=x::y\n  |   more\\x1b[2J\n")
