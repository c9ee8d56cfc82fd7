"""Which engine runs the program: the Pulumi CLI where there is one, else the offline engine that stands in for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import EngineNotFound, UsageError

OFFLINE_EXECUTABLE = Path(__file__).resolve().parents[1] / "offline" / "cli" / "bin" / "pulumi"
# In the first lines of the offline engine's launcher, wherever it was copied to.
_MARK = b"Stands in for the Pulumi CLI"


@dataclass(frozen=True)
class Engine:
    """An engine on this machine.

    Args:
        name: "pulumi" or "offline".
        version: of the CLI, or the one the offline engine imitates, without a leading v.
        executable: its path.
    """

    name: str
    version: str
    executable: Path


def choose(environment: Mapping[str, str] | None = None) -> Engine:
    """The engine to use: ``ENGINE=offline|pulumi`` decides, else a real ``pulumi`` on the PATH, else the offline engine.

    Args:
        environment: default: this process's.

    Raises:
        UsageError: ENGINE is neither.
        EngineNotFound: the one asked for is not on this machine.
    """
    environment = os.environ if environment is None else environment
    wanted = environment.get("ENGINE", "").strip().lower()
    if wanted not in ("", "offline", "pulumi"):
        raise UsageError(f"ENGINE={wanted!r} is not known; allowed: offline, pulumi")
    if wanted != "offline":
        for executable in _on_path(environment.get("PATH", os.defpath)):
            return Engine("pulumi", _version(executable), executable)
        if wanted == "pulumi":
            raise EngineNotFound(
                "ENGINE=pulumi, but no Pulumi CLI is on the PATH: https://www.pulumi.com/docs/install/"
            )
    if not OFFLINE_EXECUTABLE.exists():
        raise EngineNotFound(
            "no Pulumi CLI is on the PATH (https://www.pulumi.com/docs/install/), and the offline engine is not here either"
        )
    from offline.engine import VERSION

    return Engine("offline", VERSION.removeprefix("v"), OFFLINE_EXECUTABLE)


def _on_path(path: str) -> Iterator[Path]:
    for folder in path.split(os.pathsep):
        found = shutil.which("pulumi", path=folder) if folder else None
        if found and not _is_offline(Path(found)):
            yield Path(found)


def _is_offline(executable: Path) -> bool:
    if executable.resolve() == OFFLINE_EXECUTABLE.resolve():
        return True
    try:
        with executable.open("rb") as file:
            head = file.read(400)
    except OSError:
        return False
    return head.startswith(b"#!") and _MARK in head


def _version(executable: Path) -> str:
    done = subprocess.run(
        [executable, "version"],
        capture_output=True,
        text=True,
        env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        check=False,
        timeout=30,
    )
    if done.returncode:
        raise EngineNotFound(f"{executable} version failed: {done.stderr.strip()}")
    return done.stdout.strip().removeprefix("v")
