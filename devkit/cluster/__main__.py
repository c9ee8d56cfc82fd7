"""``python -m devkit.cluster``: a real one-node Kubernetes and PostgreSQL on a machine with only package registries."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import asdict

from devkit import paths
from devkit.cluster import config, context, lifecycle, processes
from devkit.cluster.errors import ClusterError, ComponentError
from devkit.cluster.progress import Progress

EPILOG = """
environment:
  KUBE_CONTEXT   use this context of your own kubeconfig instead; up then only checks that it answers
  ROLLOUT_STATE  where the cluster keeps its data (default /var/lib/rollout); down removes it
  ROLLOUT_CACHE  where built programs are kept (default ~/.cache/rollout)
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line; by default this process's.

    Returns:
        0, or 1 after an error, which has been printed.
    """
    options = _parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, ComponentError) and processes.log_file(error.component).exists():
            print(f"its whole log: python -m devkit.cluster logs {error.component}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on, or down to remove what there is", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m devkit.cluster",
        description=__doc__.partition(": ")[2],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start it, or repair what is not running; nothing when all is well")
    up.add_argument("-q", "--quiet", action="store_true", help="no progress")
    commands.add_parser("down", help="remove it with all its data")
    status = commands.add_parser("status", help="how every component is; exit code 1 unless all are healthy")
    status.add_argument("--json", action="store_true", help="as JSON")
    logs = commands.add_parser("logs", help="a component's log")
    logs.add_argument("component", nargs="?", help="its name; without, the names are listed")
    logs.add_argument("-n", "--lines", type=int, default=50, metavar="N", help="the last N lines (default 50)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    env = commands.add_parser("env", help='how to reach it: eval "$(python -m devkit.cluster env)"')
    env.add_argument("--json", action="store_true", help="as JSON, with PostgreSQL")
    return parser


def _up(options: argparse.Namespace) -> int:
    named = context.given()
    if named:
        server = context.verify(named)
        Progress(quiet=options.quiet).say(f"using the cluster of context {named} at {server}")
        return 0
    lifecycle.up(Progress(quiet=options.quiet))
    return 0


def _down(_: argparse.Namespace) -> int:
    lifecycle.down(Progress())
    return 0


def _status(options: argparse.Namespace) -> int:
    conditions = lifecycle.status()
    healthy = all(condition.state == "healthy" for condition in conditions)
    if options.json:
        print(json.dumps({"healthy": healthy, "components": [asdict(condition) for condition in conditions]}, indent=2))
    else:
        for condition in conditions:
            details = f"pid {condition.pid}, {condition.seconds:.0f} s" if condition.pid else ""
            print(f"{condition.name:<24} {condition.state:<10} {details}".rstrip())
    return 0 if healthy else 1


def _logs(options: argparse.Namespace) -> int:
    if options.component is None:
        for file in sorted(processes.log_file("x").parent.glob("*.log")):
            print(file.stem)
        return 0
    file = processes.log_file(options.component)
    if not file.exists():
        raise ClusterError(f"there is no log {file}: python -m devkit.cluster logs lists the names")
    follow = ["-F"] if options.follow else []
    return subprocess.run(["tail", "-n", str(options.lines), *follow, str(file)], check=False).returncode


def _env(options: argparse.Namespace) -> int:
    named = context.given()
    values = {"KUBECONFIG": str(paths.kubeconfig()), "KUBE_CONTEXT": config.CONTEXT}
    if named:
        values = {"KUBE_CONTEXT": named}
        if "KUBECONFIG" in os.environ:
            values["KUBECONFIG"] = os.environ["KUBECONFIG"]
    elif not paths.kubeconfig().exists():
        raise ClusterError("the devkit's cluster is not up: python -m devkit.cluster up")
    if options.json:
        server = None if named else asdict(paths.postgres())
        print(json.dumps({**values, "postgres": server}, indent=2))
    else:
        for name, value in values.items():
            print(f"export {name}={shlex.quote(value)}")
    return 0


_COMMANDS = {"up": _up, "down": _down, "status": _status, "logs": _logs, "env": _env}

if __name__ == "__main__":
    sys.exit(main())
