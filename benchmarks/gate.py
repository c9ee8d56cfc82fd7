"""What the gate's checks add to an upgrade of the sample: ``python -m benchmarks.gate [ROUNDS]`` prints JSON (``make bench-gate``).

Seconds of one ``rollout up`` from 1.0.0 to 1.1.0, on the cluster, with the database looked at by nobody, by a witness around the
migration, and with the migration rehearsed before that (as a module comes). They take turns, each time in a stack of its own, so
that whatever else the machine does weighs on all of them.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from devkit.demo.stage import connect
from devkit.workspace import Workspace
from tests.cluster.stacks import WITNESSED, Stack

VARIANTS: dict[str, dict[str, Any]] = {
    "neither": {},
    "witness": WITNESSED,
    "witness_and_rehearsal": {**WITNESSED, "rehearse": "schema"},
}


def upgrade(stack: Stack, settings: dict[str, Any]) -> float:
    """Seconds of an upgrade with these settings, in a stack that has none yet."""
    stack.configure(**settings)
    stack.deployed("1.0.0")
    begun = time.monotonic()
    stack.deployed("1.1.0")
    return time.monotonic() - begun


def main(rounds: int) -> None:
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder, connect() as api:
        for number in range(rounds):
            for variant, settings in VARIANTS.items():
                name = f"gate-{number}-{list(VARIANTS).index(variant)}"
                stack = Stack(Workspace.create(Path(folder) / name, name, {}), api)
                try:
                    seconds[variant].append(upgrade(stack, settings))
                finally:
                    stack.remove()
    median = {variant: round(statistics.median(taken), 1) for variant, taken in seconds.items()}
    added = {
        "witness": round(median["witness"] - median["neither"], 1),
        "rehearsal": round(median["witness_and_rehearsal"] - median["witness"], 1),
    }
    print(json.dumps({"rounds": rounds, "seconds": median, "added": added}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
