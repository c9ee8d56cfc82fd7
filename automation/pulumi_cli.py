"""Finds the Pulumi CLI of this machine, and says where it is too old or too new for this program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from semver import VersionInfo

from .errors import PulumiNotFound, UnsupportedPulumi

# The oldest release that this program was run on: it needs resource hooks, `--exclude` and `destroy --run-program`.
OLDEST = VersionInfo(3, 260, 0)
UNTRIED = VersionInfo(4, 0, 0)


@dataclass(frozen=True)
class PulumiCli:
    """A Pulumi CLI on this machine.

    Args:
        version: without a leading v.
        executable: its path.
    """

    version: str
    executable: Path


def find(environment: Mapping[str, str] | None = None) -> PulumiCli:
    """The first ``pulumi`` on the PATH.

    Args:
        environment: default: this process's.

    Raises:
        PulumiNotFound: there is none, or it does not run.
        UnsupportedPulumi: it is older than `OLDEST`, or of a major version that this program was not run on.
    """
    environment = os.environ if environment is None else environment
    found = shutil.which("pulumi", path=environment.get("PATH", os.defpath))
    if found is None:
        raise PulumiNotFound("no Pulumi CLI is on the PATH: https://www.pulumi.com/docs/install/")
    try:
        done = subprocess.run(
            [found, "version"], capture_output=True, text=True, check=False, timeout=30,
            env={**os.environ, **environment, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PulumiNotFound(f"{found} does not run: {error}") from None
    version = done.stdout.strip().removeprefix("v")
    if done.returncode or not VersionInfo.is_valid(version):
        raise PulumiNotFound(f"{found} does not tell its version: {(done.stderr or done.stdout).strip()}")
    release = VersionInfo.parse(version).finalize_version()
    if not OLDEST <= release < UNTRIED:
        raise UnsupportedPulumi(found, version, str(OLDEST), str(UNTRIED))
    return PulumiCli(version, Path(found))
