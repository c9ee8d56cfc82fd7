"""`python -m devkit.images build|load|list`: the images of the migrator and of the sample's versions, and those of Go programs."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Sequence

from devkit import paths
from devkit.images import catalogue
from devkit.images.build import Builder
from devkit.images.containerd import Containerd, manifest_digest
from devkit.images.errors import ImagesError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m devkit.images",
        description="Builds the images by following their Dockerfiles, and loads them into containerd.",
    )
    parser.add_argument("command", choices=["build", "load", "list"])
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="such as migrator:1 or ledger:1.1.0; gateway, nats and module, for whole stacks, when named; without, all others",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object to stdout")
    parser.add_argument(
        "--address",
        default=os.environ.get("CONTAINERD_ADDRESS") or str(paths.run_dir() / "containerd.sock"),
        help="containerd's socket (default: CONTAINERD_ADDRESS, or the devkit cluster's)",
    )
    parsed = parser.parse_args(arguments)
    known = [*catalogue.names(), *catalogue.stack_names()]
    wanted = [each for name in parsed.names for each in _matching(name, known)] or catalogue.names()
    if unknown := [name for name in parsed.names if not _matching(name, known)]:
        parser.error(f"no image {', '.join(unknown)}; there are {', '.join(known)}")
    if parsed.command == "load" and os.environ.get("KUBE_CONTEXT"):
        _say(f"KUBE_CONTEXT is set: push {catalogue.LEDGER} and the others to a registry of that cluster yourself")
        return 0
    try:
        return _run(parsed.command, wanted, Containerd(parsed.address), as_json=parsed.json)
    except ImagesError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1


def _run(command: str, wanted: list[str], containerd: Containerd, *, as_json: bool) -> int:
    started = time.monotonic()
    cache = paths.cache_dir() / "images"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once: the second finds the first one's steps
        builder = Builder(catalogue.CONTEXT, cache, _say)
        images = catalogue.build(wanted, builder)
        built = time.monotonic() - started
        loaded: dict[str, str] = {} if command == "build" else containerd.loaded()
        missing = [each for each in images if loaded.get(each.name) != manifest_digest(each.state)]
        if command == "load" and missing:
            containerd.load(missing, builder.blobs)
    seconds = time.monotonic() - started
    rows = [
        {
            "name": each.name,
            "digest": manifest_digest(each.state),
            "bytes": sum(layer.size for layer in each.state.layers),
            "state": "built"
            if command == "build"
            else "loaded"
            if command == "load" or each not in missing
            else "missing",
        }
        for each in images
    ]
    if as_json:
        print(json.dumps({"seconds": round(seconds, 3), "build_seconds": round(built, 3), "images": rows}))
    elif command == "list":
        for row in rows:
            print(f"{row['name']:36} {row['state']:8} {int(str(row['bytes'])) / 1e6:6.1f} MB  {row['digest']}")
    else:
        new = f", {len(missing)} of them new" if command == "load" else ""
        _say(f"{len(images)} images {'loaded' if command == 'load' else 'built'}{new} in {seconds:.1f} s")
    return 0


def _matching(name: str, known: Sequence[str]) -> list[str]:
    """The images of a name: one, or all versions where no tag is given."""
    full = name if name.startswith("localhost/") else f"localhost/rollout/{name}"
    return [each for each in known if full in (each, each.rpartition(":")[0])]


def _say(line: str) -> None:
    print(f"images: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
