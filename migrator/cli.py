"""The command line: `python -m migrator COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

from migrator import database
from migrator.errors import InvalidMigration
from migrator.job import Words, attempt, install_signals
from migrator.runner import plan, run
from migrator.settings import Settings


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
        "create-database": "create the database POSTGRES_DATABASE unless it exists",
        "drop-database": "drop the database POSTGRES_DATABASE, with all its data",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="print one JSON object to stdout")
        if name in ("migrate", "status", "plan"):
            command.add_argument(
                "--directory", action="append", required=True, metavar="DIR", help="directory of SQL files; repeatable"
            )
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
    return {
        "outcome": "pending" if todo.pending else "unchanged",
        "before": todo.before,
        "pending": [each.name for each in todo.pending],
        "ahead": list(todo.ahead),
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
                    "statement": statement.text,
                    "transactional": each.transactional,
                }
            )
    if not steps:
        log("nothing pending")
    return {"outcome": "pending" if steps else "unchanged", "steps": steps, "ahead": list(todo.ahead)}


def _create_database(_parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    wanted = database.target(environment)
    created = database.create(wanted, _settings(environment), _say("create-database"))
    return {"outcome": "created" if created else "unchanged", "database": wanted.name}


def _drop_database(_parsed: argparse.Namespace, environment: Mapping[str, str]) -> Words:
    wanted = database.target(environment)
    dropped = database.drop(wanted, _settings(environment), _say("drop-database"))
    return {"outcome": "dropped" if dropped else "unchanged", "database": wanted.name}


_COMMANDS = {
    "migrate": _migrate,
    "status": _status,
    "plan": _plan,
    "create-database": _create_database,
    "drop-database": _drop_database,
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
