"""`rollout` in a process of its own that need not load its modules: they were, once for all the tests of a worker.

Loading takes about 1.4 of the 2.4 s of processor time of a run that finds nothing to do, and of the 3.9 s of an upgrade. That the
command starts by itself is shown by the tests that use `Workspace.start`, and by the demo.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devkit.workspace import Workspace

# There is one such context in a process, so also what others preload is said here.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["migrator.cli", "tests.cluster.loading"])


def _rollout(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path, err: Path) -> None:
    from automation.cli import entry

    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in ((1, out), (2, err)):
        with file.open("wb") as opened:
            os.dup2(opened.fileno(), number)
    sys.argv = ["rollout", *arguments]
    entry()


@dataclass(frozen=True)
class LoadedWorkspace(Workspace):
    """A workspace whose `rollout` comes from a process in which everything is loaded."""

    def rollout(self, *args: str, timeout: float = 240) -> tuple[int, dict[str, Any]]:
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "stdout"), Path(folder, "stderr")
            arguments = self.command(args, json_output=True)[1:]
            process = PROCESSES.Process(target=_rollout, args=(arguments, self.root, self.env, out, err))
            process.start()
            try:
                process.join(timeout)
                assert process.exitcode is not None, f"rollout {' '.join(args)} goes on after {timeout:.0f} s"
            finally:
                process.kill()
            said = out.read_text()
            try:
                return process.exitcode, json.loads(said)
            except json.JSONDecodeError:
                raise AssertionError(
                    f"rollout {' '.join(args)} exited {process.exitcode} without a verdict:\n{said}\n{err.read_text()}"
                ) from None
