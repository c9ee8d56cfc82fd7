"""The migrations of an image: `NNNN_name.sql` files, in the order of their numbers."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from migrator.errors import InvalidMigration, MigratorError
from migrator.statements import Statement, line_comments, split

_FILE_NAME = re.compile(r"(\d{4,})_[a-z0-9][a-z0-9_-]*\.sql")
_LIKE_ONE = re.compile(r"\d{4,}_.*|.*\.(?:sql|psql|pgsql)", re.IGNORECASE)
_MARKER = re.compile(r"--\s*migrate:\s*(.*?)\s*")
_NON_TRANSACTIONAL = "non-transactional"
_ENDS_A_TRANSACTION = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"}


@dataclass(frozen=True)
class Migration:
    """One file.

    Attributes:
        number: its position in the history.
        name: file name.
        checksum: SHA-256 of its text with line endings normalised, so that a checkout's setting is no change.
        statements: what it runs.
        transactional: False for a file marked `-- migrate: non-transactional`.
    """

    number: int
    name: str
    checksum: str
    statements: tuple[Statement, ...]
    transactional: bool = True

    def prefix_checksum(self, count: int) -> str:
        """Gives the checksum of the first statements: what a resumed file must still agree on.

        Args:
            count: how many statements.
        """
        return self._prefixes[min(count, len(self.statements))]

    @cached_property
    def _prefixes(self) -> tuple[str, ...]:
        found, so_far = [hashlib.sha256().hexdigest()], hashlib.sha256()
        for index, statement in enumerate(self.statements):
            so_far.update((("\0" if index else "") + statement.text).encode())
            found.append(so_far.hexdigest())
        return tuple(found)


def read(directories: Path | str | Sequence[Path | str]) -> list[Migration]:
    """Reads the migrations of one or several directories.

    Args:
        directories: where the files lie. What does not end in `.sql` is left alone, see `skipped`.

    Returns:
        All of them, ordered by number.

    Raises:
        InvalidMigration: a directory is missing or empty of migrations, two files share a number, a name is not
            `NNNN_name.sql`, or a file cannot be run in the way it asks for.
    """
    given: Iterable[Path | str] = [directories] if isinstance(directories, Path | str) else directories
    found: dict[int, Migration] = {}
    for directory in map(Path, given):
        if not directory.is_dir():
            raise InvalidMigration(
                f"{_shown(directory)} is not a directory", hint="Give the directory of the SQL files."
            )
        for path in sorted(each for each in directory.iterdir() if each.name.lower().endswith(".sql")):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise InvalidMigration(
                    f"{_shown(path)} cannot be read: {error.strerror}",
                    file=_shown(path.name),
                    hint="What is named *.sql here has to be a file that can be read.",
                ) from None
            migration = parse(path.name, content)
            if other := found.get(migration.number):
                raise InvalidMigration(
                    f"{migration.name} and {other.name} have the same number",
                    file=migration.name,
                    hint="Renumber the one that has not been applied anywhere.",
                )
            found[migration.number] = migration
    if not found:
        raise InvalidMigration(
            f"no migrations in {', '.join(map(_shown, given))}",
            hint="Migrations are files named like 0001_accounts.sql.",
        )
    return [found[number] for number in sorted(found)]


def skipped(directories: Path | str | Sequence[Path | str]) -> list[str]:
    """Names what `read` leaves alone and somebody may have taken for a migration: files named like one, folders with SQL.

    Args:
        directories: as for `read`, which has found them to be there.

    Returns:
        Paths below their directory. Hidden names are left out: a ConfigMap's volume has its files there once more.
    """
    given: Iterable[Path | str] = [directories] if isinstance(directories, Path | str) else directories
    listed = {Path(directory).resolve() for directory in given}
    found: list[str] = []
    for directory in map(Path, given):
        for path in sorted(directory.iterdir()):
            if path.name.startswith(".") or path.name.lower().endswith(".sql"):
                continue
            if path.is_dir():
                if path.resolve() not in listed and any(
                    _LIKE_ONE.fullmatch(each.name) for each in path.rglob("[!.]*.*")
                ):
                    found.append(f"{_shown(path.name)}/")
            elif _LIKE_ONE.fullmatch(path.name):
                found.append(_shown(path.name))
    return found


def _shown(name: Path | str) -> str:
    """Gives a name as it can be printed: a file's may hold bytes that are no text."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def parse(name: str, content: bytes) -> Migration:
    """Reads one file.

    Args:
        name: its name, `NNNN_name.sql`.
        content: its bytes, UTF-8.

    Raises:
        InvalidMigration: see `read`.
    """
    match = _FILE_NAME.fullmatch(name)
    if match is None:
        raise InvalidMigration(
            f"{_shown(name)} is not named NNNN_name.sql (four or more digits, then small letters, digits, _ or -)",
            file=_shown(name),
            hint="Rename it, or give files that are no migrations another ending.",
        )
    try:
        sql = content.decode("utf-8-sig").replace("\r\n", "\n")
        _refuse_nul(sql)
        statements = tuple(split(sql))
        transactional = _is_transactional(sql)
        if not statements:
            raise InvalidMigration("it holds no statement")
        _refuse_what_cannot_run(statements, transactional)
    except UnicodeDecodeError as error:
        raise InvalidMigration(f"{name}: not UTF-8: {error}", file=name) from None
    except MigratorError as error:
        raise InvalidMigration(
            f"{name}: {error.message}", file=name, line=error.line, statement=error.statement, hint=error.hint
        ) from None
    return Migration(int(match.group(1)), name, hashlib.sha256(sql.encode()).hexdigest(), statements, transactional)


def _refuse_nul(sql: str) -> None:
    # To the server it ends the statement: a DELETE would go without its WHERE.
    if (position := sql.find("\0")) >= 0:
        line = sql.count("\n", 0, position) + 1
        raise InvalidMigration(f"line {line}: a NUL byte", line=line, hint="Remove it; it is no part of SQL.")


def _is_transactional(sql: str) -> bool:
    marked = False
    # Most files need no second look: this finds what may be a marker, or only looks like one, in a function's body say.
    for position, comment, first in line_comments(sql) if "migrate:" in sql else ():
        match = _MARKER.fullmatch(comment)
        if match is None or sql[max(position - 1, 0) : position] not in ("", "\n", "\r"):
            continue
        line = sql.count("\n", 0, position) + 1
        if first and match.group(1) != _NON_TRANSACTIONAL:
            raise InvalidMigration(
                f"line {line}: unknown marker {match.group(1)!r}",
                line=line,
                hint=f"The only marker is `-- migrate: {_NON_TRANSACTIONAL}`.",
            )
        if not first and match.group(1) == _NON_TRANSACTIONAL:
            raise InvalidMigration(
                f"line {line}: the marker stands after the first statement",
                line=line,
                hint="Put it at the top of the file, where a reader sees it.",
            )
        marked = marked or first
    return not marked


def _refuse_what_cannot_run(statements: tuple[Statement, ...], transactional: bool) -> None:
    for each in statements:
        first, second = (*each.words, "", "")[:2]
        if first == "COPY" and re.search(r"\bfrom\s+stdin\b", each.text, re.IGNORECASE):
            raise InvalidMigration(
                f"line {each.line}: COPY FROM STDIN needs data that is no SQL",
                hint="Write the rows as INSERT ... VALUES.",
                line=each.line,
                statement=each.shortened(),
            )
        controls = (
            first in _ENDS_A_TRANSACTION
            and not (first == "ROLLBACK" and "TO" in each.words[1:4])
            and (first != "PREPARE" or second == "TRANSACTION")
            and (first != "START" or second == "TRANSACTION")
        )
        if controls:
            how = "all pending files run in one transaction" if transactional else "each statement runs by itself here"
            raise InvalidMigration(
                f"line {each.line}: {first} would take the transaction out of the runner's hands; {how}",
                hint="Remove it." if transactional else "Remove it, or remove the marker.",
                line=each.line,
                statement=each.shortened(),
            )
