"""kill -9 at any moment of an update: the state is whole, the dead process's lock holds nobody up, the next update converges.

``make crash`` does 500 rounds; ROUNDS and SEED choose others.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from offline.backend.checkpoint import latest, verify
from offline.backend.secrets import Passphrase
from offline.backend.state import snapshot_from_json

from .conftest import SALT, Shell
from .nursery import RESOURCES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROUNDS = int(os.environ.get("ROUNDS", "30"))
SEED = int(os.environ.get("SEED", "1"))


class Nursery:
    def __init__(self, shell: Shell) -> None:
        repository = Path(__file__).parents[3]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.engine_cli.nursery", str(shell.project / "said")],
            cwd=shell.project, env={**shell.env, "PYTHONPATH": str(repository)}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, version: int, **more: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"version": version, "kill_after": None, "since": "start", "expect_no_changes": False, **more}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def finish(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture
def nursery(dev: Shell) -> Iterator[Nursery]:
    made = Nursery(dev)
    yield made
    made.finish()


def phase_of(path: Path, version: str) -> str:
    """What the state says that was going on in the update to a version; fails if it is not whole."""
    checkpoint = json.loads(path.read_bytes())
    deployment = latest(checkpoint)
    verify(deployment.get("resources") or [])
    snapshot = snapshot_from_json(deployment, Passphrase(SALT, "recorded"))
    # Creations that were cut off in earlier updates stay noted until a refresh.
    now = [
        p.type
        for p in snapshot.pending
        if p.type != "creating" or p.resource.urn.rsplit("::", 1)[1].startswith(version)
    ]
    return now[-1] if now else "between steps"


def locks(shell: Shell) -> list[Path]:
    return list((shell.state / ".pulumi/locks").rglob("*.json"))


def leftovers(shell: Shell) -> list[Path]:
    """What a killed write leaves goes with the next lock, but for half-written locks, which go when they are old."""
    return [p for p in (shell.state / ".pulumi").rglob("*.tmp") if "locks" not in p.parts]


def converges(shell: Shell, nursery: Nursery, version: int) -> float:
    """Returns the seconds of the update."""
    held = locks(shell)
    done = nursery.run(version)
    assert done["status"] == 0, done["said"]
    assert ("removed the lock of process" in done["said"]) == bool(held)
    again = nursery.run(version, expect_no_changes=True)
    assert again["status"] == 0, again["said"]
    resources = latest(json.loads(shell.checkpoint().read_bytes()))["resources"]
    names = sorted(r["urn"].rsplit("::", 1)[1] for r in resources if r["type"] == "command:local:Command")
    assert names == sorted(["stays", *(f"v{version}-{i}" for i in range(RESOURCES))])
    assert locks(shell) == leftovers(shell) == []
    assert "canary" not in shell.checkpoint().read_text()
    return float(done["seconds"])


def test_killed_at_any_moment_of_an_update(dev: Shell, nursery: Nursery) -> None:
    chance = random.Random(SEED)
    typical = converges(dev, nursery, -1)
    statuses: Counter[int] = Counter()
    phases: Counter[str] = Counter()
    dead_locks = 0
    for n in range(ROUNDS):
        since = chance.choices(("start", "lock", "write"), (1, 1, 3))[0]
        ran = nursery.run(n, since=since, kill_after=chance.uniform(0, typical if since == "start" else typical / 2))
        assert ran["status"] in (-9, 0), ran["said"]
        statuses[ran["status"]] += 1
        phases[phase_of(dev.checkpoint(), f"v{n}-")] += 1
        phase_of(dev.checkpoint().with_suffix(".json.bak"), f"v{n}-")
        dead_locks += bool(locks(dev))
        if n % 25 == 24:
            typical = converges(dev, nursery, n)
    converges(dev, nursery, ROUNDS)
    print(
        json.dumps(
            {"rounds": ROUNDS, "seed": SEED, "killed": statuses[-9], "dead_locks": dead_locks, "phases": dict(phases)}
        )
    )
    assert dead_locks, "no kill hit an update, so nothing was shown"


def test_whole_processes_killed_at_any_moment(dev: Shell) -> None:
    """The same with the executable and a program in a process of its own, a tenth as often."""
    (dev.project / "__main__.py").write_text(
        "import pulumi\nfrom pulumi_command import local\nbefore = []\nfor i in range(4):\n"
        "    before = [local.Command(f'c{pulumi.Config().require(\"version\")}-{i}', create='true', opts=pulumi.ResourceOptions(depends_on=before))]\n"
    )
    chance = random.Random(SEED)
    up = ("up", "--yes", "--skip-preview", "--non-interactive")
    dev("config", "set", "version", "0")
    began = time.monotonic()
    dev(*up, own_process=True)
    typical = time.monotonic() - began
    killed = 0
    for n in range(max(2, ROUNDS // 10)):
        dev("config", "set", "version", str(n + 1))
        process = dev.start(*up)
        time.sleep(chance.uniform(0.2, 1.0) * typical)
        process.kill()
        process.communicate(timeout=60)
        killed += process.returncode == -9
        phase_of(dev.checkpoint(), f"c{n + 1}-")
    done = dev(*up)
    assert "4 created" in done.out or "unchanged" in done.out
    dev(*up, "--expect-no-changes")
    assert locks(dev) == leftovers(dev) == []
    print(json.dumps({"processes": max(2, ROUNDS // 10), "killed": killed}))
