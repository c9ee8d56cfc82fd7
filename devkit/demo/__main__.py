"""``python -m devkit.demo [--json FILE]``: exit code 0 if every step showed what it is there to show."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from devkit import paths
from devkit.demo.clients import ClientsFailed
from devkit.demo.report import document, table
from devkit.demo.stage import Stage
from devkit.demo.story import Stopped, Story


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make demo", description="A ledger upgraded under traffic, and four upgrades that are stopped."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    started = time.monotonic()
    stage = Stage(paths.state_dir() / "demo")
    story = Story(stage)
    print(f"Pulumi CLI {story.pulumi}")
    try:
        ledger = story.tell()
    except (Stopped, ClientsFailed) as error:
        print(f"\n{table(story.steps)}\n\ndemo: stopped: {error}", file=sys.stderr)
        if options.json:
            options.json.write_text(json.dumps(document(story.pulumi, story.steps, {}), indent=2) + "\n")
        return 1
    result = document(story.pulumi, story.steps, ledger)
    print(f"\n{table(story.steps)}\n")
    print(
        f"{ledger['requests']:,} requests, {ledger['lost']} lost; {ledger['accepted']:,} accepted postings, all of them in the database: "
        f"{'yes' if ledger['ok'] else 'NO'}; sum of all balances {ledger['total']}; {time.monotonic() - started:.0f} s"
    )
    print("The ledger still serves: kubectl --namespace demo get all. `make down` removes the cluster.")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if not result["ok"]:
        print("demo: NOT everything is as it should be", file=sys.stderr)
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
