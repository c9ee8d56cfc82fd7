"""The modules' SQL files, read for what is known to go wrong (`migrator/lint.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settings import StackSettings

RULE = "sql-files"  # of the policy pack, which reads the same files


class UnreadableSql(Exception):
    """Files that cannot be run at all, or there is no squawk."""


@dataclass(frozen=True)
class SqlFinding:
    """One thing that a file's reading has shown.

    Args:
        module: whose.
        rule: squawk's, or the runner's own.
        refuses: it cannot run at all.
        text: file, line, what is wrong and what to write instead.
    """

    module: str
    rule: str
    refuses: bool
    text: str


def read(wanted: StackSettings, folder: Path, modules: Iterable[str]) -> Iterator[SqlFinding]:
    """Reads the files of modules whose settings name a folder of them (`migration.sql`).

    Args:
        wanted: the stack's settings.
        folder: of Pulumi.yaml, where their paths begin.
        modules: names.

    Raises:
        UnreadableSql: files that cannot be run at all, or there is no squawk.
    """
    for name in modules:
        if sql := wanted.modules[name].migration.sql:
            # Late: the migrator loads psycopg, 0.2 s that a stack without such files does not pay for.
            from migrator.errors import MigratorError
            from migrator.lint import lint

            try:
                found = lint([folder / sql])
            except MigratorError as error:
                raise UnreadableSql(f"{error.message} {error.hint}".strip()) from None
            for each in found:
                where = Path(each.file).relative_to(folder) if Path(each.file).is_relative_to(folder) else each.file
                text = f"{where}:{each.line}: {each.message} {each.help}".strip()
                yield SqlFinding(name, each.rule, each.level == "error", text)
