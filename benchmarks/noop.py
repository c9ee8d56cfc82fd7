"""What ``rollout up`` takes when there is nothing to do, for 1, 25 and 100 modules: ``python -m benchmarks.noop [ROUNDS [SIZES]]``
prints JSON (``make bench-noop``).

The cluster is a real one, which is asked and not changed. The objects of so many modules are not in it: the engine wrote the
state with a provider that returns an object instead of making it. The sizes take turns, so that whatever else the machine
does weighs on all of them.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from offline import providers
from offline.cli.main import main as pulumi
from offline.engine.provider import Call, Made
from offline.engine.values import Properties
from offline.providers.kubernetes import metadata, state
from offline.providers.kubernetes.provider import KubernetesProvider
from offline.workspace import Workspace


class _Pretended(KubernetesProvider):
    """Says that everything was made."""

    def create(self, call: Call, type: str, inputs: Properties) -> Made:  # noqa: ARG002
        made_from = state.plain(inputs)
        live = copy.deepcopy(made_from)
        live["metadata"] |= {"uid": f"uid-{metadata.full_name(live)}", "resourceVersion": "1"}
        outputs = state.outputs(made_from, live, inputs, str(live["apiVersion"]), "pulumi-kubernetes-0")
        return Made(metadata.full_name(live), outputs)


def installed(folder: Path, count: int) -> Workspace:
    """A stack of so many modules whose state says that all of them are there."""
    stack = f"noop-{count}"
    module = {"image": "localhost/rollout/ledger", "version": "1.0.0"}
    workspace = Workspace.create(folder / stack, stack, {"modules": {f"m{i}": module for i in range(count)}})
    factories = providers.factories() | {"kubernetes": _Pretended}
    with (
        mock.patch.dict(os.environ, workspace.env, clear=True), mock.patch("offline.cli.commands.update.factories", return_value=factories),
        contextlib.chdir(workspace.root), contextlib.redirect_stdout(sys.stderr),
    ):  # fmt: skip
        code = pulumi(["up", "--stack", stack, "--yes", "--skip-preview", "--non-interactive", "--suppress-progress"])
    assert code == 0, "the state could not be written"
    return workspace


def no_op(workspace: Workspace) -> dict[str, float]:
    """Seconds and CPU seconds of one ``rollout up``, with the engine it runs."""
    begun, used = time.monotonic(), _cpu()
    done = subprocess.run(
        workspace.command(["up"], json_output=True), cwd=workspace.root, env=workspace.env, capture_output=True, text=True, check=True
    )  # fmt: skip
    measured = {"seconds": time.monotonic() - begun, "cpu_seconds": _cpu() - used}
    assert json.loads(done.stdout)["outcome"] == "unchanged", done.stdout
    return measured


def _cpu() -> float:
    """CPU seconds of everything this process has started and waited for."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def main(rounds: int, sizes: list[int]) -> None:
    measured: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as name:
        workspaces = {size: installed(Path(name), size) for size in sizes}
        for _ in range(rounds):
            for size, workspace in workspaces.items():
                measured[size].append(no_op(workspace))
    print(json.dumps({"rounds": rounds, "modules": {size: _median(runs) for size, runs in measured.items()}}))


def _median(runs: list[dict[str, float]]) -> dict[str, Any]:
    return {
        key: {"median": round(statistics.median(values), 2), "least": round(min(values), 2)}
        for key in runs[0]
        for values in [[run[key] for run in runs]]
    }


if __name__ == "__main__":
    arguments = [int(a) for a in sys.argv[1:]]
    main(arguments[0] if arguments else 5, arguments[1:] or [1, 25, 100])
