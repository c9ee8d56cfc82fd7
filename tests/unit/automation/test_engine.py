from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from automation.engine import OFFLINE_EXECUTABLE, choose
from automation.errors import EngineNotFound, UsageError
from offline.workspace import REPOSITORY


@pytest.fixture
def cli(tmp_path: Path) -> Path:
    """A folder with something that answers like the Pulumi CLI."""
    folder = tmp_path / "cli"
    folder.mkdir()
    pulumi = folder / "pulumi"
    pulumi.write_text("#!/bin/sh\necho v3.299.1\n")
    pulumi.chmod(0o755)
    return folder


def test_the_cli_on_the_path_is_used(cli: Path) -> None:
    engine = choose({"PATH": str(cli)})
    assert (engine.name, engine.version, engine.executable) == ("pulumi", "3.299.1", cli / "pulumi")


def test_without_a_cli_the_offline_engine_stands_in() -> None:
    engine = choose({"PATH": "/nowhere"})
    assert (engine.name, engine.executable) == ("offline", OFFLINE_EXECUTABLE)


@pytest.mark.parametrize("how", ["itself", "linked", "copied"])
def test_the_offline_engine_on_the_path_is_not_taken_for_the_cli(how: str, tmp_path: Path, cli: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if how == "linked":
        (folder / "pulumi").symlink_to(OFFLINE_EXECUTABLE)
    elif how == "copied":
        shutil.copy(OFFLINE_EXECUTABLE, folder / "pulumi")
    else:
        folder = OFFLINE_EXECUTABLE.parent
    assert choose({"PATH": str(folder)}).name == "offline"
    assert choose({"PATH": f"{folder}:{cli}"}).name == "pulumi"


@pytest.mark.slow
@pytest.mark.parametrize("given", [None, "/opt/python"])
def test_the_cli_runs_policy_packs_by_the_python_that_runs_rollout(
    given: str | None, cli: Path, tmp_path: Path
) -> None:
    """The CLI itself would take the first python3 of the PATH. It is not here, so its environment is looked at, not a pack."""
    (cli / "pulumi").write_text('#!/bin/sh\necho v3.299.1\ncase " $* " in *" preview "*) env >"$TOLD" ;; esac\n')
    (tmp_path / "Pulumi.yaml").write_text("name: rollout\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    environment = {
        **os.environ,
        "PATH": f"{cli}{os.pathsep}{os.environ['PATH']}",
        "ENGINE": "pulumi",
        "TOLD": str(tmp_path / "told"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "p",
        "ROLLOUT_PYTHON": sys.executable,
    }
    environment.pop("PULUMI_PYTHON_CMD", None)
    if given:
        environment["PULUMI_PYTHON_CMD"] = given
    command: list[str | Path] = [REPOSITORY / "bin" / "rollout", "preview", "--cwd", tmp_path, "--stack", "dev"]
    subprocess.run(command, env=environment, check=False, capture_output=True, timeout=120)
    told = (tmp_path / "told").read_text().splitlines()
    assert f"PULUMI_PYTHON_CMD={given or sys.executable}" in told


def test_engine_variable_decides(cli: Path) -> None:
    assert choose({"PATH": str(cli), "ENGINE": "offline"}).name == "offline"
    with pytest.raises(EngineNotFound, match="no Pulumi CLI"):
        choose({"PATH": "/nowhere", "ENGINE": "pulumi"})
    with pytest.raises(UsageError, match="offline, pulumi"):
        choose({"PATH": "/nowhere", "ENGINE": "go"})
