"""What the policy pack adds to a preview of 100 modules: ``python -m benchmarks.policies [PAIRS]`` prints JSON.

Previews with and without the pack alternate, so that whatever else the machine does weighs on both. There is no cluster: dry runs
would only hide the difference.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from policies.kubernetes import kind
from tests.unit.policies.components_program import many
from tests.unit.policies.engine import PACK, project

MODULES = 100


def manifests() -> str:
    """The Kubernetes objects that our components declare, as a foreign program: components have nothing to be judged."""
    program = many(MODULES)
    # Unique also among kinds: the foreign program finds what to wait for by its name.
    names = {r.urn: f"{r.name}-{kind(r).lower()}" for r in program.resources if kind(r)}
    return yaml.safe_dump_all(
        {**r.props, "pulumi": {"name": names[r.urn], "dependsOn": [names[u] for u in r.dependencies if u in names]}}
        for r in program.resources
        if kind(r)
    )


def main(pairs: int) -> None:
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    cpu: dict[str, list[float]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, **project(folder, manifests())}

        def pulumi(*args: str) -> None:
            command = ["pulumi", *args, "--stack", "prod", "--non-interactive"]
            subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)

        pulumi("stack", "init")
        for _ in range(pairs):
            for kind_, pack in (("without", []), ("with", ["--policy-pack", str(PACK)])):
                begun, used = time.monotonic(), _cpu()
                pulumi("preview", *pack)
                seconds[kind_].append(round(time.monotonic() - begun, 2))
                cpu[kind_].append(round(_cpu() - used, 2))
    added = {"seconds": _added(seconds), "cpu_seconds": _added(cpu)}
    print(json.dumps({"modules": MODULES, "seconds": seconds, "cpu_seconds": cpu, "added": added}))


def _cpu() -> float:
    """CPU seconds of this process and of everything it has started and waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _added(measured: dict[str, list[float]]) -> float:
    """Median of the differences within the pairs."""
    pairs = zip(measured["with"], measured["without"], strict=True)
    return round(statistics.median(w - wo for w, wo in pairs), 2)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
