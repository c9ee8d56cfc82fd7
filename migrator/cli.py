"""The command line: `python -m migrator COMMAND`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from migrator import compatibility, database, fingerprint
from migrator.errors import InvalidMigration
from migrator.job import Words, attempt, install_signals
from migrator.lint import lint
from migrator.marks import Owner
from migrator.runner import plan, run, tell_missing
from migrator.sessions import connect
from migrator.settings import Settings
from migrator.statements import without_strings

if TYPE_CHECKING:
    from migrator import rehearsal


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: command line without the program's name.
        environment: connection and settings; os.environ when left out.

    Returns:
        The exit code, see `job.attempt`.
    """
    environment = os.environ if environment is None else environment
    install_signals()
    parsed = _parser().parse_args(arguments)
    words = partial(_COMMANDS[parsed.command], parsed, environment)
    return attempt(parsed.command, words, environment, as_json=parsed.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="migrator",
        description="Runs plain SQL migrations against PostgreSQL, all pending ones in one transaction.",
        epilog="Connection: POSTGRES_URI. Limits: MIGRATE_LOCK_TIMEOUT, MIGRATE_STATEMENT_TIMEOUT , ... in seconds.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "migrate": "apply what is pending",
        "status": "show what is applied and what is pending; changes nothing",
        "plan": "show the statements that `migrate` would run; changes nothing",
        "lint": "read the files for what is known to go wrong; needs squawk, and no database",
        "fingerprint": "take a snapshot of the schema; changes nothing",
        "compare": "tell what a change of the schema means for the version that serves meanwhile",
        "create-database": "create the database POSTGRES_DATABASE unless it exists",
        "drop-database": "drop the database POSTGRES_DATABASE, with all its data",
        "create-topics": "create a stack's stream and its consumers in NATS JetStream unless they exist",
        "rehearse-prepare": "make the database SCRATCH_DATABASE beside the real one, with its schema",
        "rehearse-warm": "wait for the serving version on the scratch database, and have it open its connections",
        "rehearse-judge": "compare the scratch database with before, and ask the serving version again",
        "rehearse-hold": "ask the serving version all the while; at SIGTERM, drop the scratch database",
        "backup": "back the database up, and read the backup back",
        "backups": "list the backups there are",
        "restore": "put a backup in the database's place; what was there is kept under another name",
        "witness": "look at the database now and again at SIGTERM, and tell the difference; changes nothing",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="print one JSON object to stdout")
        if name in ("migrate", "status", "plan", "lint"):
            command.add_argument(
                "--directory", action="append", required=True, metavar="DIR", help="directory of SQL files; repeatable"
            )
        if name == "lint":
            command.add_argument(
                "--after", type=int, default=0, metavar="NUMBER", help="only files with a higher number than this"
            )
        if name == "fingerprint":
            command.add_argument(
                "--out", metavar="FILE", help="write the snapshot here; without --json it goes to stdout"
            )
        if name == "compare":
            command.add_argument("before", metavar="BEFORE", help="snapshot of the schema before")
            command.add_argument("after", metavar="AFTER", help="snapshot of the schema afterwards")
            command.add_argument(
                "--contract", action="store_true", help="no version runs any more that uses what is removed"
            )
        if name == "witness" or name.startswith("rehearse-"):
            command.add_argument(
                "--folder", type=Path, required=True, metavar="DIR", help="where the first look is kept"
            )
        if name in ("backup", "backups", "restore"):
            command.add_argument(
                "--store",
                required=True,
                metavar="PLACE",
                help="a folder, or s3://bucket/prefix (AWS_ENDPOINT_URL, ...)",
            )
        if name == "backup":
            command.add_argument("--module", default="", metavar="NAME", help="whose database; told in the manifest")
            command.add_argument("--serving", default="", metavar="VERSION", help="that serves; told likewise")
            command.add_argument("--target", required=True, metavar="VERSION", help="that is to be migrated to")
            command.add_argument("--keep", type=int, default=5, metavar="COUNT", help="backups to keep")
        if name == "restore":
            command.add_argument("--backup", default="", metavar="ID", help="default: the newest")
            command.add_argument(
                "--accept-differences", action="store_true", help="take it although it is not what was backed up"
            )
        if name == "rehearse-prepare":
            command.add_argument("--mode", choices=("schema", "sample", "copy"), default="schema", help="with rows?")
            command.add_argument(
                "--limit", type=int, default=0, metavar="N", help="copy: bytes of the database; sample: rows of a table"
            )
            command.add_argument(
                "--table", action="append", default=[], metavar="NAME", help="its rows too, always; repeatable"
            )
        if name in ("rehearse-warm", "rehearse-judge", "rehearse-hold"):
            command.add_argument("--previous", required=True, metavar="VERSION", help="the version that serves")
            command.add_argument("--not-started", action="store_true", help="only the schema is judged")
            command.add_argument("--port", type=int, required=True, help="that it listens on")
            command.add_argument("--health", default="", metavar="PATH", help="answers 200 once it is healthy")
            command.add_argument("--probes", default="[]", metavar="JSON", help="requests that it must answer")
        if name == "rehearse-warm":
            command.add_argument("--seconds", type=float, default=60, help="to become healthy")
        if name == "rehearse-hold":
            command.add_argument("--alive-port", type=int, default=0, help="of its container's liveness probe")
        if name == "rehearse-judge":
            command.add_argument("--target", default="", metavar="VERSION", help="that is migrated to")
            command.add_argument("--contract", action="store_true", help="removing what it does not use is allowed")
            command.add_argument("--policy", default="{}", metavar="JSON", help="what refuses; see rehearsal.Policy")
    return parser


def _migrate(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    settings = _settings(environment)
    return migrate_words(parsed.directory, environment, settings)


def migrate_words(directories: Sequence[str], environment: Mapping[str, str], settings: Settings) -> Words:
    """Runs what is pending in the database of POSTGRES_URI and gives the words that tell it.

    Args:
        directories: where the SQL files lie.
        environment: holds POSTGRES_URI.
        settings: budgets.

    Raises:
        MigratorError: see `runner.run`.
    """
    result = run(_uri(environment), directories, settings, _say("migrate"))
    return {**asdict(result), "seconds": round(result.seconds, 3), "module_version": settings.module_version}


def _status(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    log = _say("status")
    todo = plan(_uri(environment), parsed.directory, _settings(environment), log)
    log(f"the database is at {todo.before}")
    for each in todo.pending:
        done = todo.resumed.get(each.number)
        log(f"pending: {each.name}" + (f" (interrupted after statement {done}/{len(each.statements)})" if done else ""))
    for name in todo.ahead:
        log(f"ahead: {name} was applied by a newer version")
    tell_missing(todo, log)
    return {
        "outcome": "pending" if todo.pending else "unchanged",
        "before": todo.before,
        "pending": [each.name for each in todo.pending],
        "ahead": list(todo.ahead),
        "missing": list(todo.missing),
    }


def _plan(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    log = _say("plan")
    todo = plan(_uri(environment), parsed.directory, _settings(environment), log)
    steps = []
    for each in todo.pending:
        for statement in each.statements[todo.resumed.get(each.number, 0) :]:
            how = "" if each.transactional else " (non-transactional)"
            log(f"{each.name} line {statement.line}{how}: {statement.shortened()}")
            steps.append(
                {
                    "file": each.name,
                    "line": statement.line,
                    "statement": without_strings(statement.text),
                    "transactional": each.transactional,
                }
            )
    if not steps:
        log("nothing pending")
    return {
        "outcome": "pending" if steps else "unchanged",
        "steps": steps,
        "ahead": list(todo.ahead),
        "missing": list(todo.missing),
    }


def _lint(parsed: argparse.Namespace, _environment: Mapping[str, str]) -> Words:
    log = _say("lint")
    found = lint(parsed.directory, after=parsed.after)
    for each in found:
        log(str(each))
    if not found:
        log("nothing found")
    levels = {each.level for each in found}
    return {
        "outcome": "found" if levels & {"error", "warning"} else "advised" if found else "clean",
        "findings": [asdict(each) for each in found],
    }


def _fingerprint(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    log = _say("fingerprint")
    settings = _settings(environment)
    started = time.monotonic()
    with contextlib.closing(connect(_uri(environment), settings, log)) as connection:
        snapshot = fingerprint.take(connection, lock_timeout=settings.lock_timeout)
    log(f"{len(snapshot.objects)} objects, {snapshot.digest} ({time.monotonic() - started:.2f} s)")
    if parsed.out:
        try:
            Path(parsed.out).write_text(snapshot.to_json())
        except OSError as error:
            raise InvalidMigration(f"{parsed.out}: {error.strerror}", hint="Give --out a path to write to.") from None
    elif not parsed.json:
        print(snapshot.to_json(), end="", flush=True)
    return {"outcome": "taken", "digest": snapshot.digest, "objects": len(snapshot.objects)}


def _compare(parsed: argparse.Namespace, _environment: Mapping[str, str]) -> Words:
    log = _say("compare")
    before, after = _snapshot(parsed.before), _snapshot(parsed.after)
    findings = compatibility.classify(before, after, contract=parsed.contract)
    for each in findings:
        log(str(each))
    if not findings:
        log("no difference")
    return {
        "outcome": compatibility.worst(findings) if findings else "unchanged",
        "findings": [asdict(each) for each in findings],
        "changes": [each.as_json() for each in fingerprint.difference(before, after)],
    }


def _snapshot(path: str) -> fingerprint.Snapshot:
    try:
        return fingerprint.Snapshot.from_json(Path(path).read_bytes())
    except OSError as error:
        raise InvalidMigration(f"{path}: {error.strerror}", hint="Give the file of a fingerprint.") from None


def _create_database(_parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    wanted = database.target(environment)
    created = database.create(wanted, _settings(environment), _say("create-database"), _owner(environment))
    return {"outcome": "created" if created else "unchanged", "database": wanted.name}


def _drop_database(_parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    wanted = database.target(environment)
    dropped = database.drop(wanted, _settings(environment), _say("drop-database"), _owner(environment))
    return {"outcome": "dropped" if dropped else "unchanged", "database": wanted.name}


def _owner(environment: Mapping[str, str]) -> Owner | None:
    return Owner.of(environment) if environment.get("ROLLOUT_STACK") else None


def _create_topics(_parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    # Imported late: a migration needs no network but PostgreSQL's.
    from migrator import topics

    made = topics.create(topics.Topics.from_environment(environment), _say("create-topics"))
    return {"outcome": "created" if made else "unchanged", "made": made}


def _witness(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    from migrator import witness  # the others do not need what it loads

    return witness.watch(environment, parsed.folder, _say("witness"))


def _backup(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    from migrator import backup, stores  # likewise

    place = stores.store(parsed.store, environment)
    of = {"module": parsed.module, "version": parsed.serving, "target": parsed.target}
    return backup.take(environment, place, **of, keep=parsed.keep, log=_say("backup"))


def _backups(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    from migrator import backup, stores

    return backup.listed(environment, stores.store(parsed.store, environment), _say("backups"))


def _restore(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    from migrator import restore, stores

    place = stores.store(parsed.store, environment)
    return restore.restore(
        environment, place, parsed.backup, differences=parsed.accept_differences, log=_say("restore")
    )


def _rehearse_prepare(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    from migrator import rehearsal

    return rehearsal.prepare(
        environment,
        parsed.folder,
        parsed.mode,
        parsed.limit,
        parsed.table,
        _say("rehearse-prepare"),
        rehearsal.statements_from(environment.get("REHEARSAL_STATEMENTS", "")),
    )


def _rehearse_warm(parsed: argparse.Namespace, _environment: Mapping[str, str]) -> Words:
    serving = _serving(parsed)
    assert serving is not None, "a version that is not started is not waited for"
    return {"outcome": "warm", "probes": serving.warm(parsed.seconds)}


def _rehearse_judge(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    from migrator import rehearsal

    return rehearsal.judge(
        environment,
        parsed.folder,
        _serving(parsed),
        previous=parsed.previous,
        target=parsed.target,
        contract=parsed.contract,
        policy=rehearsal.Policy.from_json(parsed.policy),
        log=_say("rehearse-judge"),
    )


def _rehearse_hold(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    from migrator import rehearsal

    return rehearsal.hold(environment, parsed.folder, _say("rehearse-hold"), _serving(parsed), parsed.alive_port)


def _serving(parsed: argparse.Namespace) -> rehearsal.Serving | None:
    from migrator import rehearsal

    if parsed.not_started:
        return None
    probes = rehearsal.probes_from(parsed.probes)
    return rehearsal.Serving(parsed.previous, parsed.port, parsed.health, probes, parsed.folder, _say(parsed.command))


_COMMANDS = {
    "migrate": _migrate,
    "status": _status,
    "plan": _plan,
    "lint": _lint,
    "fingerprint": _fingerprint,
    "compare": _compare,
    "create-database": _create_database,
    "drop-database": _drop_database,
    "create-topics": _create_topics,
    "rehearse-prepare": _rehearse_prepare,
    "rehearse-warm": _rehearse_warm,
    "rehearse-judge": _rehearse_judge,
    "rehearse-hold": _rehearse_hold,
    "witness": _witness,
    "backup": _backup,
    "backups": _backups,
    "restore": _restore,
}


def _say(command: str) -> partial[None]:
    return partial(_print, command)


def _print(command: str, line: str) -> None:
    print(f"{command}: {line}", file=sys.stderr, flush=True)


def _uri(environment: Mapping[str, str]) -> str:
    uri = environment.get("POSTGRES_URI", "")
    if not uri:
        raise InvalidMigration(
            "POSTGRES_URI is not set", hint="Set it to postgresql://user:password@host:port/database."
        )
    return uri


def _settings(environment: Mapping[str, str]) -> Settings:
    try:
        return Settings.from_environment(environment)
    except ValueError as error:
        raise InvalidMigration(str(error), hint="Correct the variable, or leave it out for the default.") from None
