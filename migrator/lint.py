"""Reads SQL files for what is known to go wrong, before any database sees them.

squawk (https://squawkhq.com) does the reading of each file; it is told how the runner runs it: in a transaction or not, with
timeouts set. The rules of our own (`lint_rules`) are about what squawk does not see: several files in one transaction, what
a block executes, what the runner promises. Both squawk and pgparse are for where files are written and reviewed; the
migrator's image carries neither.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from migrator import files, lint_known, lint_rules
from migrator.errors import InvalidMigration
from migrator.files import Migration
from migrator.lint_rules import LintFinding, LintLevel

__all__ = ["LintFinding", "LintLevel", "lint"]

# The runner sets both timeouts, and a file that is rolled back as a whole need not be able to run twice.
_DONE_BY_THE_RUNNER = ("require-lock-timeout", "require-statement-timeout", "require-timeout-settings")
_DONE_BY_THE_TRANSACTION = ("prefer-robust-stmts",)
# It lets a file pass that holds nothing else; but the runner has every such file in a transaction. Ours tells.
_TOLD_BY_OURS = ("ban-concurrent-index-creation-in-transaction",)
# The one that squawk has off by default, and that is about the version that goes on running beside the new schema.
_ABOUT_THE_PREVIOUS_VERSION = ("ban-revoke",)
_CONFIGURATION = ".squawk.toml"
_IGNORE = re.compile(r"(?:--|/\*)\s*squawk-ignore(?P<file>-file)?(?P<rules>[^\n]*)")


def lint(directories: Sequence[Path | str], *, after: int = 0) -> tuple[LintFinding, ...]:
    """Reads the migrations of directories.

    A comment `-- squawk-ignore rule` on the line before a statement, `-- squawk-ignore-file rule`, or `excluded_rules` and
    `excluded_paths` of a `.squawk.toml` in the working directory or above it silence a rule, of squawk's or of ours.

    Args:
        directories: where the SQL files lie.
        after: only files with a higher number: what is applied can no longer be changed. All others are taken to be
            pending then; without it any of them may be applied.

    Returns:
        The findings in the order of files and lines. A file that the runner would refuse is a finding too.

    Raises:
        InvalidMigration: there are no migrations or two of one number, or there is no squawk or no pgparse.
    """
    settings = _settings()
    paths = [path for directory in directories for path in sorted(Path(directory).glob("*.sql"))]
    readable: list[tuple[Migration, str]] = []
    found: list[LintFinding] = []
    for path in paths:
        if any(fnmatchcase(str(path), each) for each in settings.get("excluded_paths", ())):
            continue
        try:
            migration = files.parse(path.name, path.read_bytes())
        except (InvalidMigration, OSError) as error:
            found.append(_unreadable(path, error))
            continue
        readable.append((migration, str(path)))
    missing = [each for each in directories if not Path(each).is_dir()]
    if missing or not found:
        files.read(missing or list(directories))  # what is wrong with all of them together
    every = lint_rules.parsed(sorted(readable, key=lambda each: each[0].number))
    parsed = [each for each in every if each.migration.number > after]
    for transactional in (True, False):
        if some := [each.path for each in parsed if each.transactional == transactional]:
            found += _squawk(some, transactional, settings)
    no_harm = list(lint_known.harmless(every))
    found = [
        each
        for each in found
        if not any(each.file == path and each.line in lines and each.rule == rule for path, lines, rule in no_harm)
    ]
    wrong = {each.file for each in found if each.rule == "syntax-error"}
    found += [
        LintFinding(each.path, line, "advice", "not-read", f"Our own rules have not read this statement: {why}.", "")
        for each in parsed
        for line, why in each.not_read
        if each.path not in wrong
    ]
    own = list(lint_rules.read(parsed, pending=after > 0))
    off = set(settings.get("excluded_rules", ()))
    silenced = {path: _silenced(Path(path).read_text("utf-8-sig")) for path in {each.path for each in parsed}}
    found += [each for each in own if each.rule not in off and not _is_silenced(each, silenced[each.file], parsed)]
    return tuple(sorted(found, key=lambda each: (Path(each.file).name, each.line, each.rule)))


def _unreadable(path: Path, error: InvalidMigration | OSError) -> LintFinding:
    if isinstance(error, OSError):
        return LintFinding(str(path), 1, "error", "unreadable-file", f"It cannot be read: {error.strerror}.", "")
    message = f"The runner refuses it: {error.message.removeprefix(f'{path.name}: ')}."
    return LintFinding(str(path), error.line or 1, "error", "unreadable-file", message, error.hint)


def _settings() -> Mapping[str, Any]:
    """What a `.squawk.toml` says, found as squawk finds it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (path := folder / _CONFIGURATION).is_file():
            try:
                return tomllib.loads(path.read_text())
            except (OSError, ValueError) as error:
                raise InvalidMigration(f"{path}: {error}", hint="Mend it; squawk reads it too.") from None
    return {}


def _squawk(paths: Sequence[str], transactional: bool, settings: Mapping[str, Any]) -> list[LintFinding]:
    done_by = _DONE_BY_THE_RUNNER + (_DONE_BY_THE_TRANSACTION + _TOLD_BY_OURS if transactional else ())
    # A file of its own instead of --exclude, which would override the lists of the one that was found.
    merged = {
        "excluded_rules": _of_squawk([*settings.get("excluded_rules", ()), *done_by]),
        "included_rules": _of_squawk([*settings.get("included_rules", ()), *_ABOUT_THE_PREVIOUS_VERSION]),
        **({"pg_version": settings["pg_version"]} if "pg_version" in settings else {}),
    }
    with tempfile.NamedTemporaryFile("w", suffix=_CONFIGURATION) as configuration:
        configuration.write("".join(f"{key} = {json.dumps(value)}\n" for key, value in merged.items()))
        configuration.flush()
        done = subprocess.run(
            [
                *(_executable(), "--reporter", "json", "--config", configuration.name),
                "--assume-in-transaction" if transactional else "--no-assume-in-transaction",
                *(re.sub(r"([*?[\]])", r"[\1]", path) for path in paths),  # it takes paths for patterns
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
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
        if row["message"] not in {f"unknown name {rule}" for rule in lint_rules.RULES}
    ]


def _of_squawk(rules: Iterable[str]) -> list[str]:
    return [each for each in rules if each not in lint_rules.RULES]


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


def _silenced(text: str) -> dict[int, set[str]]:
    """The rules that comments silence, by the line; 0 for the whole file."""
    found: dict[int, set[str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _IGNORE.search(line):
            rules = re.split(r"--|\*/", match["rules"])[0]
            found.setdefault(0 if match["file"] else number, set()).update(re.findall(r"[\w-]+", rules) or {"*"})
    return found


def _is_silenced(finding: LintFinding, silenced: dict[int, set[str]], parsed: Sequence[lint_rules.File]) -> bool:
    """As squawk does: by a comment on the line before, or on it; inside of a block, before the block too."""
    (file,) = (each for each in parsed if each.path == finding.file)
    begins = [each[0].line for each in file.statements if each and each[0].line <= finding.line]
    lines = {finding.line, finding.line - 1, *((begins[-1], begins[-1] - 1) if begins else ())}
    said = set().union(*(silenced.get(line, set()) for line in lines - {0}), silenced.get(0, set()))
    return finding.rule in said or "*" in silenced.get(0, set())
