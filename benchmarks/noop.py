"""What ``rollout up`` takes when there is nothing to do, and ``rollout preview`` of a new stack, for 1, 25 and 100 modules:
``python -m benchmarks.noop [ROUNDS [SIZES]]`` prints JSON (``make bench-noop``).

The cluster is a real one, which is asked and not changed. The objects of so many modules are not in it: the state that says
they are is made of what a preview plans. The sizes take turns, so that whatever else the machine does weighs on all of them.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from devkit.workspace import Workspace


def workspace(folder: Path, count: int) -> Workspace:
    """A stack of so many modules that has never been updated."""
    stack = f"noop-{count}"
    module = {"image": "localhost/rollout/ledger", "version": "1.0.0"}
    return Workspace.create(folder / stack, stack, {"modules": {f"m{i}": module for i in range(count)}})


def pretend(stack: Workspace) -> None:
    """Has the stack's state say that everything is there that a preview would create."""
    planned = json.loads(stack.pulumi("preview", "--json", "--show-secrets", "--stack", stack.stack).stdout)
    resources = [_made(step["newState"]) for step in planned["steps"]]
    exported = json.loads(stack.pulumi("stack", "export", "--stack", stack.stack).stdout)
    exported["deployment"]["resources"] = resources
    state = stack.root / "state.json"
    state.write_text(json.dumps(exported))
    stack.pulumi("stack", "import", "--file", str(state), "--stack", stack.stack)


def _made(planned: dict[str, Any]) -> dict[str, Any]:
    """A resource as the state has it once it is made."""
    if not planned["custom"]:
        return planned
    if provider := planned.get("provider"):
        # By its URN and an ID that a preview does not know yet.
        urn = provider.rpartition("::")[0]
        planned = {**planned, "provider": f"{urn}::{_name(urn)}"}
    inputs = planned.get("inputs") or {}
    if planned["type"].startswith("pulumi:providers:"):
        return {**planned, "id": _name(planned["urn"]), "outputs": inputs}
    metadata = inputs.get("metadata") or {}
    name = "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
    live = {**inputs, "metadata": {**metadata, "uid": f"uid-{name}", "resourceVersion": "1"}}
    outputs = {
        **live,
        "__initialApiVersion": inputs["apiVersion"],
        "__fieldManager": "pulumi-kubernetes-0",
        "__inputs": inputs,
    }
    return {**planned, "id": name, "outputs": outputs}


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def measured(stack: Workspace, command: str, outcome: str) -> dict[str, float]:
    """Seconds and CPU seconds of one ``rollout ...``, with the engine it runs."""
    begun, used = time.monotonic(), _cpu()
    done = subprocess.run(
        stack.command([command], json_output=True), cwd=stack.root, env=stack.env, capture_output=True, text=True, check=False
    )  # fmt: skip
    found = {"seconds": time.monotonic() - begun, "cpu_seconds": _cpu() - used}
    assert json.loads(done.stdout)["outcome"] == outcome, done.stdout
    return found


def _cpu() -> float:
    """CPU seconds of everything this process has started and waited for."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def main(rounds: int, sizes: list[int]) -> None:
    found: dict[str, dict[int, list[dict[str, float]]]] = {"preview": {}, "no_op": {}}
    with tempfile.TemporaryDirectory() as name:
        stacks = {size: workspace(Path(name), size) for size in sizes}
        for command, key, outcome in (("preview", "preview", "previewed"), ("up", "no_op", "unchanged")):
            for _ in range(rounds):
                for size, stack in stacks.items():
                    found[key].setdefault(size, []).append(measured(stack, command, outcome))
            if key == "preview":
                for stack in stacks.values():
                    pretend(stack)
    print(
        json.dumps(
            {"rounds": rounds, **{k: {size: _median(runs) for size, runs in v.items()} for k, v in found.items()}}
        )
    )


def _median(runs: list[dict[str, float]]) -> dict[str, Any]:
    return {
        key: {"median": round(statistics.median(values), 2), "least": round(min(values), 2)}
        for key in runs[0]
        for values in [[run[key] for run in runs]]
    }


if __name__ == "__main__":
    arguments = [int(a) for a in sys.argv[1:]]
    main(arguments[0] if arguments else 5, arguments[1:] or [1, 25, 100])
