"""``python -m tests.parity run|record|docs``: see `make parity` and `make record`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.parity import documentation, recordings
from tests.parity.compare import Difference, differences, unexplained
from tests.parity.recordings import Recording
from tests.parity.runner import Engine, found_engines, play
from tests.parity.scenarios import SCENARIOS, Scenario

AT_ONCE = 4  # they wait more than they work


@dataclass(frozen=True)
class Verdict:
    """How one scenario went on one engine.

    Attributes:
        excused: the number of differences there is a reason for.
        differs: those without.
        error: it could not be run.
    """

    scenario: str
    engine: str
    seconds: float
    excused: int = 0
    differs: Sequence[Difference] = ()
    error: str = ""

    @property
    def agrees(self) -> bool:
        return not (self.differs or self.error)


def judged(scenario: str, engine: str, played: Recording | str, seconds: float) -> Verdict:
    if isinstance(played, str):
        return Verdict(scenario, engine, seconds, error=played)
    everything = differences(recordings.load(scenario), played)
    left = unexplained(scenario, engine, everything)
    return Verdict(scenario, engine, seconds, len(everything) - len(left), left)


def run(arguments: argparse.Namespace) -> int:
    chosen, found = _chosen(arguments.k), found_engines()
    verdicts = []
    for scenario, engine, played, seconds in _all([(s, e) for e in found for s in chosen], arguments.at_once):
        verdict = judged(scenario.name, engine.name, played, seconds)
        verdicts.append(verdict)
        _tell(verdict)
    _table(found, verdicts)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(_document(found, chosen, verdicts), indent=2) + "\n")
    return 0 if all(v.agrees for v in verdicts) else 1


def _all(
    wanted: Sequence[tuple[Scenario, Engine]], at_once: int
) -> Iterator[tuple[Scenario, Engine, Recording | str, float]]:
    """Plays several at once, and then those that must be alone."""
    for many, group in (
        (at_once, [w for w in wanted if not w[0].alone]),
        (1, [w for w in wanted if w[0].alone]),
    ):
        with ProcessPoolExecutor(many, get_context("spawn"), max_tasks_per_child=1) as pool:
            jobs = {pool.submit(play, *w): w for w in group}
            for job in as_completed(jobs):
                yield *jobs[job], *job.result()


def _chosen(pattern: str) -> list[Scenario]:
    chosen = [s for s in SCENARIOS.values() if re.search(pattern or "", s.name)]
    if not chosen:
        raise SystemExit(f"no scenario matches {pattern!r}; there are {', '.join(SCENARIOS)}")
    return chosen


def _tell(v: Verdict) -> None:
    word = "agrees" if v.agrees else "cannot be run" if v.error else f"differs in {len(v.differs)} places"
    more = f", {v.excused} known" if v.excused else ""
    print(f"{v.engine:8} {v.scenario:48} {v.seconds:5.1f} s  {word}{more}", flush=True)
    for line in [v.error] if v.error else v.differs:
        print(f"         {line}", flush=True)


def _table(found: Sequence[Engine], verdicts: Sequence[Verdict]) -> None:
    print(f"\n{'engine':20} {'scenarios':>9} {'agree':>6} {'differ':>7} {'known':>6}")
    for e in found:
        mine = [v for v in verdicts if v.engine == e.name]
        agree = sum(v.agrees for v in mine)
        known = sum(v.excused for v in mine)
        print(f"{f'{e.name} {e.version}':20} {len(mine):>9} {agree:>6} {len(mine) - agree:>7} {known:>6}")


def _document(found: Sequence[Engine], chosen: Sequence[Scenario], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    expected = {s.name: recordings.load(s.name).engine for s in chosen}
    differ = [
        {"scenario": v.scenario, "engine": v.engine, "where": [str(d) for d in v.differs] or [v.error]}
        for v in verdicts
        if not v.agrees
    ]
    return {
        "engines": [e.described() for e in found],
        "recorded_with": [dict(t) for t in sorted({tuple(sorted(e.items())) for e in expected.values()})],
        "scenarios": len(chosen),
        "agree": len(chosen) - len({d["scenario"] for d in differ}),
        "differ": differ,
    }


def record(arguments: argparse.Namespace) -> int:
    real = [e for e in found_engines() if e.name == "pulumi"]
    if not real:
        print(
            "record: no Pulumi CLI is on the PATH; the offline engine is no source of what is expected", file=sys.stderr
        )
        return 2
    failed = 0
    for scenario, _, played, seconds in _all([(s, real[0]) for s in _chosen(arguments.k)], arguments.at_once):
        failed += isinstance(played, str)
        if not isinstance(played, str):
            recordings.save(played)
        print(f"{scenario.name:48} {seconds:5.1f} s  {played if isinstance(played, str) else 'recorded'}", flush=True)
    return 1 if failed else 0


def docs(_: argparse.Namespace) -> int:
    documentation.FILE.write_text(documentation.text(), encoding="utf-8")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function in (("run", run), ("record", record), ("docs", docs)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("-k", default="", metavar="PATTERN", help="only scenarios whose name matches")
        command.add_argument("--json", metavar="FILE", help="write the result as one JSON object")
        command.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N")
    parsed = parser.parse_args(arguments)
    code: int = parsed.function(parsed)
    return code


if __name__ == "__main__":
    sys.exit(main())
