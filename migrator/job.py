"""What a Job's pod needs around a run: signals turned into a rollback, and last words that survive the pod.

Kubernetes keeps what a container writes to its termination message file in the pod's status (at most 4096 bytes), where
a controller reads it without having to fetch logs. One JSON object, whatever the outcome.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from migrator.errors import MigratorError, Terminated

TERMINATION_LOG = "/dev/termination-log"
_LIMIT = 4000
# What was judged is no failure; a bad judgement must be told from one that could not be made.
_CODES = {"breaks": 3, "found": 3}

Words = dict[str, object]


class _Signals:
    """Whether a signal ends the run now, and the one that has to wait."""

    held = False
    came = ""


def install_signals() -> None:
    """Makes SIGTERM and SIGINT raise `Terminated`; as PID 1 a process has no default for them."""
    _Signals.held, _Signals.came = False, ""

    def terminate(number: int, _frame: FrameType | None) -> None:
        _Signals.came = signal.Signals(number).name
        if not _Signals.held:
            _terminate()

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, terminate)


def _terminate() -> None:
    # Once is enough; a second signal must not break off the rollback.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Terminated(_Signals.came)


def hold_signals() -> None:
    """Lets signals wait from now on: whether a commit has happened must be known, and be told.

    After one that has happened nothing is left but to tell it, so nobody need let them through again.
    """
    _Signals.held = True


def release_signals() -> None:
    """Lets signals through again.

    Raises:
        Terminated: one has come meanwhile.
    """
    _Signals.held = False
    if _Signals.came:
        _terminate()


def attempt(command: str, action: Callable[[], Words], environment: Mapping[str, str], *, as_json: bool) -> int:
    """Runs a command's action and tells its outcome: in the log, as last words, and on stdout when asked.

    Args:
        command: its name, told in the words.
        action: gives the words of a success; raises MigratorError or Terminated otherwise.
        environment: TERMINATION_LOG overrides the path of the last words, TERMINATION_LIMIT their length in bytes;
            MIGRATE_MODULE_VERSION is repeated in them.
        as_json: print the words to stdout too.

    Returns:
        The exit code: 0; 1 for a failure; 2 for files that cannot be used; 3 where `compare` or `lint` found
        something that hurts; 128 + the signal's number.
    """
    started = time.monotonic()
    code = 0
    try:
        words = action()
        code = _CODES.get(str(words["outcome"]), 0)
    except MigratorError as error:
        code = error.exit_code
        words = _words_of(error)
        _print_error(command, error)
    except Terminated as stopped:
        code = 128 + signal.Signals[stopped.signal_name].value
        words = {
            "outcome": "terminated",
            "message": f"{stopped.signal_name} arrived before the end; what was not committed is rolled back",
            "hint": "Run it again; it goes on from what is committed.",
            **stopped.words,
        }
        print(f"{command}: ended by {stopped.signal_name}", file=sys.stderr, flush=True)
    except Exception as error:
        code = 1
        words = {
            "outcome": "failed",
            "message": f"{type(error).__name__}: {error}",
            "hint": "This is a fault of the runner.",
        }
        traceback.print_exc()
    words = {
        **words,
        "command": command,
        "module_version": environment.get("MIGRATE_MODULE_VERSION", "") or words.get("module_version", ""),
        "seconds": round(time.monotonic() - started, 3),
    }
    limit = environment.get("TERMINATION_LIMIT", "")
    path = Path(environment.get("TERMINATION_LOG", TERMINATION_LOG))
    _leave(words, path, int(limit) if limit.isdecimal() else _LIMIT)
    if as_json:
        print(json.dumps(words), flush=True)
    return code


def fit(words: Words, limit: int = _LIMIT) -> bytes:
    """Gives the words as JSON of at most `limit` bytes, its longest texts and lists shortened where need be.

    How many of the `changes` were left out is told in `more`.
    """
    words = dict(words)
    while len(encoded := json.dumps(words, ensure_ascii=False).encode()) > limit:
        name = max(words, key=lambda each: len(json.dumps(words[each])))
        value = words[name]
        if isinstance(value, list):
            words[name] = value[:-1]
            if name == "changes":
                words["more"] = int(str(words.get("more", 0))) + 1
        else:
            text = str(value)
            words[name] = text[: len(text) // 2] + "…" if len(text) > 20 else ""
    return encoded


def _leave(words: Words, path: Path, limit: int) -> None:
    # Outside of Kubernetes there is no such file, and none shall appear in /dev.
    if str(path) == TERMINATION_LOG and not os.access(path, os.W_OK):
        return
    with contextlib.suppress(OSError):
        path.write_bytes(fit(words, limit))


def _words_of(error: MigratorError) -> Words:
    return {
        "outcome": error.outcome,
        "file": error.file,
        "line": error.line,
        "sqlstate": error.sqlstate,
        "statement": error.statement,
        "message": error.message,
        "hint": error.hint,
        "blockers": [asdict(each) for each in error.blockers],
        **error.more,
    }


def _print_error(command: str, error: MigratorError) -> None:
    place = error.file + (f" line {error.line}" if error.line else "")
    code = f"SQLSTATE {error.sqlstate}: " if error.sqlstate else ""
    lines = [f"ERROR {place + ': ' if place else ''}{code}{error.message}"]
    if error.statement:
        lines.append(f"  statement: {error.statement}")
    lines += [f"  blocked by: {each}" for each in error.blockers]
    if error.hint:
        lines.append(f"  hint: {error.hint}")
    for line in lines:
        print(f"{command}: {line}", file=sys.stderr, flush=True)
