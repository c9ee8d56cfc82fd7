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
        migrator.errors.MigratorError: files that cannot be run at all, or there is no squawk.
    """
    for name in modules:
        if sql := wanted.modules[name].migration.sql:
            from migrator.lint import lint

            for each in lint([folder / sql]):
                where = Path(each.file).relative_to(folder) if Path(each.file).is_relative_to(folder) else each.file
                text = f"{where}:{each.line}: {each.message} {each.help}".strip()
                yield SqlFinding(name, each.rule, each.level == "error", text)
