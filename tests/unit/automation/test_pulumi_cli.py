from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from automation.errors import PulumiNotFound, UnsupportedPulumi
from automation.pulumi_cli import find
from devkit.workspace import REPOSITORY


@pytest.fixture
def cli(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder with something that answers ``pulumi version`` as the CLI of that version."""

    def make(version: str, then: str = "") -> Path:
        folder = tmp_path / f"cli-{version}"
        folder.mkdir()
        pulumi = folder / "pulumi"
        pulumi.write_text(f"#!/bin/sh\necho {version}\n{then}")
        pulumi.chmod(0o755)
        return folder

    return make


@pytest.mark.parametrize("version", ["v3.260.0", "v3.274.1", "v3.999.0-alpha.1+dirty"])
def test_a_supported_cli_on_the_path_is_used(version: str, cli: Callable[[str], Path]) -> None:
    folder = cli(version)
    found = find({"PATH": str(folder)})
    assert (found.version, found.executable) == (version[1:], folder / "pulumi")


@pytest.mark.parametrize("version", ["v3.259.9", "v2.25.2", "v4.0.0"])
def test_a_cli_that_is_too_old_or_too_new_is_refused_with_what_is_needed(
    version: str, cli: Callable[[str], Path]
) -> None:
    with pytest.raises(UnsupportedPulumi, match=rf"is version {version[1:]}, .* 3\.260\.0 or newer, below 4\.0\.0"):
        find({"PATH": str(cli(version))})


def test_without_a_cli_it_is_said_where_to_get_one() -> None:
    with pytest.raises(PulumiNotFound, match=r"no Pulumi CLI is on the PATH: https://www\.pulumi\.com/docs/install/"):
        find({"PATH": "/nowhere"})


@pytest.mark.parametrize("answer", ["", "not a version", "v3"])
def test_what_is_called_pulumi_and_tells_no_version_is_not_used(answer: str, cli: Callable[[str], Path]) -> None:
    with pytest.raises(PulumiNotFound, match="does not tell its version"):
        find({"PATH": str(cli(answer))})


@pytest.mark.slow
@pytest.mark.parametrize("given", [None, "/opt/python"])
def test_policy_packs_run_by_the_python_that_runs_rollout(
    given: str | None, cli: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """The CLI itself would take the first python3 of the PATH."""
    folder = cli("v3.299.1", 'case " $* " in *" preview "*) env >"$TOLD" ;; esac\n')
    (tmp_path / "Pulumi.yaml").write_text("name: rollout\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
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
