"""The ``rollout`` command. Progress goes to stderr, the verdict to stdout, the exit code says the same as the outcome."""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from .interrupt import Interrupt
    from .progress import Progress
    from .verdict import Verdict

# Beside those of outcomes; the numbers are those of sysexits.h.
_REFUSED, _USAGE, _INTERNAL = 2, 64, 70


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: without the program's name; default: of this process.

    Returns:
        The exit code of the outcome: 0 unchanged or deployed, 2 refused, 3 migration failed, 4 rollout failed, 5 locked, 130 cancelled; 64
        for wrong usage, 70 for a defect of this program.
    """
    options = _parser().parse_args(arguments)
    # What pods say may have characters that the terminal's encoding has not.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not options.verbose:
        warnings.simplefilter("ignore")
        # The runtime of the inline program talks to an engine that may be gone; its complaints are not the person's.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("rollout: interrupted before anything was changed", file=sys.stderr)
        return 130
    except Exception as error:
        return _failed(options, error)


def _failed(options: argparse.Namespace, error: Exception) -> int:
    """What is said where nothing could be started."""
    # Late: the settings' models take longer to load than the engine needs to start, and errors are rare.
    from components.redact import Redactor
    from settings import SettingsError

    from .errors import AutomationError, UsageError

    clean = Redactor()
    if options.verbose:
        print(clean(traceback.format_exc()), file=sys.stderr)
    said = clean(str(error))
    if isinstance(error, UsageError):
        label, outcome, code = "rollout: usage: ", "usage", _USAGE
    elif isinstance(error, AutomationError | SettingsError):
        label, outcome, code = "rollout: ", "refused", _REFUSED
    else:
        label, outcome, code = "rollout: internal error: ", "internal", _INTERNAL
        said = f"{type(error).__name__}: {said} (--verbose shows where)"
    # One document here too, so that a program need not read two formats.
    if options.json:
        document = {
            "stack": options.stack,
            "outcome": outcome,
            "exit_code": code,
            "modules": [],
            "changes": {},
            "error": said,
        }
        print(json.dumps(document, indent=2))
    _complain(label, said)
    return code


def _complain(label: str, text: str) -> None:
    from components.foreign_text import labelled

    print("\n".join(labelled(label, text, "")), file=sys.stderr, flush=True)


def entry() -> NoReturn:
    """The process's entry: ends without waiting for threads that follow logs or a program whose engine is gone."""
    # Most of a short run is loading modules; looking for garbage in them again and again takes a tenth of it.
    gc.set_threshold(100_000, 50, 50)
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _check(options: argparse.Namespace) -> int:
    from . import check
    from .errors import AutomationError, UsageError

    try:
        if options.state and len(options.stack or ()) != 1:
            raise UsageError(
                "--state is of one stack: name it with --stack, whose environment says how strictly it is judged"
            )
        if options.state:
            results = [check.check_state(options.state, options.stack[0])]
        else:
            results = check.check(options.cwd, options.stack or ())
    except AutomationError as error:
        if not options.json:
            raise
        print(json.dumps(check.as_json([], str(error)), indent=2), flush=True)
        return _USAGE if isinstance(error, UsageError) else _REFUSED
    print(json.dumps(check.as_json(results), indent=2) if options.json else check.text(results), flush=True)
    return 0 if all(r.ok for r in results) else _REFUSED


def _import_operator(options: argparse.Namespace) -> int:
    from .operator import write

    written = write.import_files(options.files, options.cwd, options.stack, options.overwrite)
    print(json.dumps(write.as_json(written), indent=2) if options.json else write.text(written), flush=True)
    return _REFUSED if written.problem else 0


def _run(options: argparse.Namespace) -> int:
    if options.command == "check":
        return _check(options)
    if options.command == "import-operator":
        return _import_operator(options)
    if options.command == "status":
        from .stack_status import status
        from .stack_status import text as status_text

        found = status(options.stack, options.cwd)
        print(json.dumps(found.as_json(), indent=2) if options.json else status_text(found))
        return found.exit_code

    if options.command == "destroy":
        _confirm_destroy(options)
    if options.command in ("backups", "restore"):
        return _from_backups(options)
    from .interrupt import Interrupt
    from .rollout import Request, Rollout
    from .wording import text

    interrupt = Interrupt()
    _install_signals(interrupt)
    request = Request(
        options.stack,
        options.cwd,
        dict(getattr(options, "set", None) or []),
        getattr(options, "continue_on_error", False),
        getattr(options, "allow_downgrade", False),
        tuple(getattr(options, "policy_pack", None) or ()),
    )
    rollout = Rollout(
        request, _say, (lambda event: _debug(event, rollout.clean)) if options.verbose else None, interrupt
    )
    ways: dict[str, Callable[[], Verdict]] = {
        "preview": rollout.preview,
        "up": rollout.up,
        "rehearse": rollout.rehearse,
        "destroy": lambda: rollout.destroy(drop_databases=options.drop_databases is not None),
    }
    verdict = ways[options.command]()
    if getattr(options, "report", None):
        options.report.write_text(text(verdict) + "\n", encoding="utf-8")
    print(json.dumps(verdict.as_json(), indent=2) if options.json else text(verdict), flush=True)
    return verdict.exit_code


def _confirm_destroy(options: argparse.Namespace) -> None:
    from .errors import UsageError

    stack, dropped = options.stack, options.drop_databases
    if dropped not in (None, stack):
        raise UsageError(f"--drop-databases={dropped} is not the stack that would be destroyed: {stack}")
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("destroy asks first, and there is nobody to ask: add --yes")
    databases = "AND ITS DATABASES, WITH ALL THEIR DATA" if dropped else "; its databases are kept"
    print(
        f"Everything stack {stack} made in the cluster will be deleted{' ' * bool(dropped)}{databases}.",
        file=sys.stderr,
    )
    print(f"Type the stack's name to go on ({stack}): ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != stack:
        raise UsageError("not confirmed; nothing was deleted")


def _from_backups(options: argparse.Namespace) -> int:
    from . import restore
    from .errors import UsageError
    from .interrupt import Interrupt
    from .rollout import Request
    from .wording import text

    interrupt = Interrupt()
    _install_signals(
        interrupt, "ending; until the databases change places nothing has happened, and afterwards it is told", 1
    )
    run = restore.Restoring(Request(options.stack, options.cwd), _say, interrupt)
    if options.command == "backups":
        found = run.listing(options.module)
        print(json.dumps(found.as_json(), indent=2) if options.json else restore.text(found), flush=True)
        return found.exit_code

    def confirmed(question: restore.Question) -> bool:
        print(question.text, file=sys.stderr)
        said = f"{question.module}/{question.database}"
        if options.yes_restore is not None:
            if options.yes_restore != said:
                raise UsageError(f"--yes-restore={options.yes_restore} is not what would be replaced: {said}")
            return True
        if not sys.stdin.isatty():
            raise UsageError(f"restore asks first, and there is nobody to ask: add --yes-restore={said}")
        print(f"Type the module's name to go on ({question.module}): ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip() == question.module

    verdict = run.restore(
        options.module,
        options.backup,
        confirmed=confirmed,
        other_version=options.allow_other_version,
        differences=options.accept_differences,
    )
    print(json.dumps(verdict.as_json(), indent=2) if options.json else text(verdict), flush=True)
    return verdict.exit_code


def _say(progress: Progress) -> None:
    print(progress, file=sys.stderr, flush=True)


def _debug(event: Any, clean: Callable[[str], str]) -> None:
    """The engine's diagnostics as they are but for secrets, with --verbose."""
    said = event.diagnostic_event
    if (
        said
        and said.severity in ("error", "warning", "info", "info#err")
        and said.message.strip()
        and not said.ephemeral
    ):
        _complain(f"  [{said.severity}] ", clean(said.message))


def _install_signals(
    interrupt: Interrupt,
    first: str = "ending; a running migration goes on and the next run waits for it",
    polite: int = 2,
) -> None:
    """Ctrl-C and SIGTERM ask the run to end.

    Args:
        interrupt: to be asked.
        first: what is said at the first.
        polite: how many are for the run; the next ends the process.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        count = interrupt.request()
        if count == 1:
            print(
                f"{signal.Signals(number).name}: {first}. Once more ends at once.",
                file=sys.stderr,
                flush=True,
            )
        elif count > polite:
            os._exit(130)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


class _Parser(argparse.ArgumentParser):
    """Ends with the code of wrong usage, which argparse gives the number of `refused`."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(_USAGE, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rollout",
        description="Upgrades the modules of a stack, each behind the migration of its database.",
        epilog="Exit codes: 0 unchanged or deployed, 2 refused, 3 migration failed, 4 rollout failed, 5 locked, 64 wrong usage, 70 a defect of rollout, 130 cancelled.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _Parser(add_help=False)
    common.add_argument("--stack", "-s", required=True, help="name of the stack, as in Pulumi.<stack>.yaml")
    common.add_argument(
        "--cwd", type=Path, default=Path(), metavar="DIR", help="folder of Pulumi.yaml (default: the current one)"
    )
    common.add_argument("--json", action="store_true", help="one JSON document on stdout at the end")
    common.add_argument("--verbose", action="store_true", help="the engine's own messages too, and tracebacks")
    changing = _Parser(add_help=False)
    changing.add_argument(
        "--set",
        type=_version,
        action="append",
        metavar="MODULE=VERSION",
        help="version of a module; `up` writes it to the stack's configuration",
    )
    changing.add_argument(
        "--allow-downgrade",
        action="store_true",
        help="accept versions older than those that serve, or that were migrated to, in this run",
    )
    changing.add_argument(
        "--policy-pack",
        action="append",
        metavar="DIR",
        help="policy pack that must be kept; may be given more than once",
    )
    changing.add_argument(
        "--report", type=Path, metavar="FILE", help="the verdict for people in a file, also with --json"
    )
    commands.add_parser("preview", parents=[common, changing], help="what `up` would do, checked; changes nothing")
    up = commands.add_parser("up", parents=[common, changing], help="preview, migrate, deploy, switch the traffic")
    up.add_argument(
        "--continue-on-error", action="store_true", help="one module's failure does not keep the others from finishing"
    )
    up.add_argument("--yes", "-y", action="store_true", help="accepted and without effect: `up` asks nothing")
    commands.add_parser(
        "rehearse",
        parents=[common, changing],
        help="try the migrations of `up` on scratch databases, and what serves on the result; changes nothing",
    )
    checking = commands.add_parser("check", help="settings, versions and policies of every stack, without a cluster")
    checking.add_argument(
        "--stack", "-s", action="append", help="name of a stack; may be given more than once (default: every one)"
    )
    checking.add_argument(
        "--cwd", type=Path, default=Path(), metavar="DIR", help="folder of Pulumi.yaml (default: the current one)"
    )
    checking.add_argument(
        "--state", type=Path, metavar="FILE", help="judge what `pulumi stack export` wrote instead of the program"
    )
    checking.add_argument("--json", action="store_true", help="one JSON document on stdout")
    checking.add_argument("--verbose", action="store_true", help="tracebacks too")
    importing = commands.add_parser(
        "import-operator",
        help="write the configuration of a Formance operator's stack as ours",
        description="Writes the configuration of a Formance operator's stack as ours, with the versions its databases were migrated to, and the "
        "manifest of a forwarder from its gateway to ours. docs/operator.md shows how to take over a running stack.",
    )
    importing.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="YAML of its Stack, Settings, Versions, modules and Databases",
    )
    importing.add_argument("--stack", "-s", help="name of the Stack (default: the one there is)")
    importing.add_argument(
        "--cwd", type=Path, default=Path(), metavar="DIR", help="folder of Pulumi.yaml (default: the current one)"
    )
    importing.add_argument("--overwrite", action="store_true", help="replace files that exist")
    importing.add_argument("--json", action="store_true", help="one JSON document on stdout")
    importing.add_argument("--verbose", action="store_true", help="tracebacks too")
    commands.add_parser("status", parents=[common], help="wanted, deployed and migrated version of each module")
    backups = commands.add_parser("backups", parents=[common], help="the backups there are")
    backups.add_argument("--module", "-m", metavar="NAME", help="of this module (default: of every one)")
    restore = commands.add_parser(
        "restore", parents=[common], help="put a backup in the place of a module's database; what is there is kept"
    )
    restore.add_argument("--module", "-m", metavar="NAME", required=True, help="whose database")
    restore.add_argument("--backup", metavar="ID", default="", help="of `rollout backups` (default: the newest)")
    restore.add_argument("--yes-restore", metavar="MODULE/DATABASE", help="do not ask; must name what is replaced")
    restore.add_argument(
        "--allow-other-version", action="store_true", help="although another version serves than the backup is of"
    )
    restore.add_argument(
        "--accept-differences", action="store_true", help="although the result is not what was backed up"
    )
    destroy = commands.add_parser("destroy", parents=[common], help="delete what the stack made; databases are kept")
    destroy.add_argument(
        "--drop-databases",
        metavar="STACK",
        help="drop those that the stack has made too, with all their data; must name the stack",
    )
    destroy.add_argument("--yes", "-y", action="store_true", help="do not ask")
    return parser


def _version(text: str) -> tuple[str, str]:
    module, equals, version = text.partition("=")
    if not equals or not module or not version:
        raise argparse.ArgumentTypeError(f"{text!r} is not MODULE=VERSION, for example ledger=1.1.0")
    return module, version
