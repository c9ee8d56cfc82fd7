"""`python -m devkit.sample migrate|migrate-stepwise|serve|worker|traffic|verify`: the image's entry point.

Imports happen in the subcommands: `serve` must be up in a moment, and `migrate` needs no HTTP server.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_USAGE = """usage: ledger migrate | migrate-stepwise | serve | server | worker | version | traffic ... | verify ...

environment: POSTGRES_URI (required), BIND (default :8080), DEBUG, STACK, DRAIN_SECONDS, LEDGER_VERSION, STRICT"""

# Formance's payments calls what serves `server`. A worker of the sample has nothing to do, and answers its probes.
_PROCESSES = {"migrate": "migrate", "serve": "serve", "server": "serve", "worker": "worker"}


def main(arguments: Sequence[str]) -> int:
    """Runs a subcommand and gives its exit code."""
    from devkit.sample import versions

    command, rest = (arguments[0] if arguments else ""), list(arguments[1:])
    if command == "traffic":
        from devkit.sample import traffic

        return traffic.main(rest)
    if command == "verify":
        from devkit.sample import verify

        return verify.main(rest)
    try:
        version = versions.get(os.environ.get("LEDGER_VERSION", ""))
    except KeyError as error:
        print(f"LEDGER_VERSION: {error.args[0]}", file=sys.stderr)
        return 2
    # As PID 1 a process has no default for SIGTERM; until a subcommand has its own there is nothing to finish.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    kind = "ledger"
    if "STRICT" in os.environ and command in _PROCESSES:
        from devkit.sample import strict

        try:
            kind, _ = strict.kind_of(os.environ["STRICT"])
            given = Path("/proc/self/environ").read_bytes()
            wrong = strict.problems(os.environ["STRICT"], _PROCESSES[command], os.environ, given)
        except ValueError as error:
            wrong = [str(error)]
        if wrong:
            print("\n".join(f"{kind} {command}: {each}" for each in wrong), file=sys.stderr)
            return 2
        if _PROCESSES[command] != "migrate" and (absent := strict.broker_answers(os.environ)):
            print(f"{kind} {command}: {absent}", file=sys.stderr)
            return 1
    match _PROCESSES.get(command, command):
        case "migrate":
            from migrator import cli

            directories = [option for each in version.directories for option in ("--directory", str(each))]
            environment = {"MIGRATE_MODULE_VERSION": version.number} | os.environ
            return cli.main(["migrate", *directories, *rest], environment)
        case "migrate-stepwise":
            from devkit.sample import stepwise

            return stepwise.migrate(os.environ["POSTGRES_URI"], version)
        case "serve" | "worker":
            from devkit.sample import serve

            try:
                settings = serve.Settings.from_environment(os.environ, kind)
            except ValueError as error:
                print(f"ledger: {error}", file=sys.stderr)
                return 2
            return serve.serve(settings, version)
        case "version":
            print(version.number)
            return 0
    print(_USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
