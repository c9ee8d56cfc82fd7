"""Reads SQL files for what is known to go wrong, before any database sees them.

squawk (https://squawkhq.com) does the reading; it is told how the runner runs a file: in a transaction or not, with
timeouts set. The rules of our own are those it has none for. It is a program of its own, which the migrator's image
does not carry: lint is for where files are written and reviewed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from migrator import files
from migrator.errors import InvalidMigration
from migrator.files import Migration
from migrator.statements import Statement

LintLevel = Literal["error", "warning", "advice"]
# The runner sets both timeouts, and a file that is rolled back as a whole need not be able to run twice.
_DONE_BY_THE_RUNNER = ("require-lock-timeout", "require-statement-timeout", "require-timeout-settings")
_DONE_BY_THE_TRANSACTION = ("prefer-robust-stmts",)
# It lets a file pass that holds nothing else; but the runner has every such file in a transaction. Ours tells.
_TOLD_BY_OURS = ("ban-concurrent-index-creation-in-transaction",)
# squawk has these off by default, since they are about the version that goes on running beside the new schema.
_ABOUT_THE_PREVIOUS_VERSION = (
    "ban-alter-identity",
    "ban-drop-constraint",
    "ban-drop-default",
    "ban-drop-domain",
    "ban-drop-extension",
    "ban-drop-function",
    "ban-drop-generated-expression",
    "ban-drop-schema",
    "ban-drop-sequence",
    "ban-drop-type",
    "ban-drop-view",
    "ban-revoke",
    "ban-set-schema",
    "renaming-object",
)
_NOT_IN_A_TRANSACTION = re.compile(
    r"VACUUM\b|ALTER\s+SYSTEM\b|(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)\b|(?:CREATE|DROP)\s+SUBSCRIPTION\b"
    r"|CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b|DROP\s+INDEX\s+CONCURRENTLY\b|REINDEX\b.*\bCONCURRENTLY\b"
    r"|REINDEX\s+(?:\([^)]*\)\s*)?(?:SCHEMA|DATABASE|SYSTEM)\b|ALTER\s+TABLE\b.*\bDETACH\s+PARTITION\b.*\bCONCURRENTLY\b",
    re.IGNORECASE | re.DOTALL,
)
# A procedure may commit between its steps; a DO block that does so says so.
_COMMITS = re.compile(r"DO\b.*\bCOMMIT\b", re.IGNORECASE | re.DOTALL)
_NAME = r"(?P<name>(?:\"[^\"]+\"|[\w$])+(?:\.(?:\"[^\"]+\"|[\w$])+)?)"
_CREATES = re.compile(
    rf"CREATE\s+(?:UNLOGGED\s+|TEMP(?:ORARY)?\s+)*TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}", re.IGNORECASE
)
_LOCKS = re.compile(rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_NAME}", re.IGNORECASE)
_WRITES = re.compile(rf"(?:UPDATE|DELETE\s+FROM|INSERT\s+INTO)\s+(?:ONLY\s+)?{_NAME}.*", re.IGNORECASE | re.DOTALL)
_MANY_ROWS = re.compile(r"(?:UPDATE|DELETE)\b|INSERT\b.*\bSELECT\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class LintFinding:
    """One thing to look at.

    Attributes:
        file: its path.
        line: counted from 1.
        level: `error`: it cannot run; `warning`: it hurts those who use the database meanwhile; `advice`.
        rule: squawk's, or one of ours.
        message: what is wrong.
        help: what to write instead, where the rule knows.
    """

    file: str
    line: int
    level: LintLevel
    rule: str
    message: str
    help: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.message} [{self.rule}]" + (
            f" {self.help}" if self.help else ""
        )


def lint(directories: Sequence[Path | str], *, after: int = 0) -> tuple[LintFinding, ...]:
    """Reads the migrations of directories.

    A comment `-- squawk-ignore rule` before a statement, or a `.squawk.toml`, silences squawk where it is wrong.

    Args:
        directories: where the SQL files lie.
        after: only files with a higher number: what is applied can no longer be changed.

    Returns:
        The findings in the order of files and lines.

    Raises:
        InvalidMigration: the files cannot be run at all, or there is no squawk.
    """
    paths = {path.name: path for directory in directories for path in sorted(Path(directory).glob("*.sql"))}
    migrations = [each for each in files.read(list(directories)) if each.number > after]
    found: list[LintFinding] = []
    for transactional in (True, False):
        chosen = [paths[each.name] for each in migrations if each.transactional == transactional]
        found += _squawk(chosen, transactional) if chosen else []
    found += [finding for each in migrations for finding in _own(each, str(paths[each.name]))]
    return tuple(sorted(found, key=lambda each: (Path(each.file).name, each.line, each.rule)))


def _squawk(paths: Sequence[Path], transactional: bool) -> list[LintFinding]:
    command = [_executable(), "--reporter", "json", "--include", ",".join(_ABOUT_THE_PREVIOUS_VERSION)]
    if transactional:
        command += [
            "--assume-in-transaction",
            "--exclude",
            ",".join(_DONE_BY_THE_RUNNER + _DONE_BY_THE_TRANSACTION + _TOLD_BY_OURS),
        ]
    else:
        command += ["--no-assume-in-transaction", "--exclude", ",".join(_DONE_BY_THE_RUNNER)]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False)
    try:
        rows = json.loads(done.stdout)
    except ValueError:
        raise InvalidMigration(
            f"squawk ended with {done.returncode}: {' '.join((done.stderr or done.stdout).split())[:500]}",
            hint="Run it by hand on the files.",
        ) from None
    return [
        LintFinding(row["file"], row["line"] + 1, _level(row), row["rule_name"], row["message"], row["help"] or "")
        for row in rows
    ]


def _executable() -> str:
    beside = Path(sys.executable).with_name("squawk")
    found = str(beside) if beside.exists() else shutil.which("squawk")
    if found is None:
        raise InvalidMigration("there is no squawk here", hint="pip install squawk-cli")
    return found


def _level(row: dict[str, str]) -> LintLevel:
    if row["level"] == "Error":
        return "error"
    return "advice" if row["rule_name"].startswith("prefer-") else "warning"


def _own(migration: Migration, path: str) -> Iterator[LintFinding]:
    if migration.transactional:
        yield from _not_in_a_transaction(migration, path)
        yield from _rows_under_lock(migration, path)
    elif not any(_needs_to_be_alone(each) for each in migration.statements):
        yield LintFinding(
            path,
            1,
            "warning",
            "transactional-would-do",
            "The file is marked non-transactional, but every statement of it could be rolled back.",
            "Remove the marker: then a failure leaves nothing behind.",
        )


def _needs_to_be_alone(statement: Statement) -> bool:
    patterns = (_NOT_IN_A_TRANSACTION, _COMMITS)
    return statement.words[:1] == ("CALL",) or any(each.match(statement.text) for each in patterns)


def _not_in_a_transaction(migration: Migration, path: str) -> Iterator[LintFinding]:
    for each in migration.statements:
        if _NOT_IN_A_TRANSACTION.match(each.text) or _COMMITS.match(each.text):
            yield _not_allowed(each, path)


def _not_allowed(statement: Statement, path: str) -> LintFinding:
    return LintFinding(
        path,
        statement.line,
        "error",
        "not-in-a-transaction",
        f"PostgreSQL refuses {' '.join(statement.words[:2])} inside of a transaction (25001).",
        "Put it into a file of its own that starts with `-- migrate: non-transactional`.",
    )


def _rows_under_lock(migration: Migration, path: str) -> Iterator[LintFinding]:
    """Rows written while an ALTER TABLE's lock is held: others wait for as long as that takes."""
    new: set[str] = set()
    locked: set[str] = set()
    for each in migration.statements:
        if match := _CREATES.match(each.text):
            new.add(match["name"].lower())
        elif match := _LOCKS.match(each.text):
            locked.add(match["name"].lower())
        elif (match := _WRITES.match(each.text)) and _MANY_ROWS.match(each.text):
            held = sorted(locked - new)
            if held and match["name"].lower() not in new:
                yield LintFinding(
                    path,
                    each.line,
                    "warning",
                    "rows-under-lock",
                    f"It writes rows while this transaction has {', '.join(held)} locked against readers too.",
                    "Write the rows in a later migration, in batches.",
                )
