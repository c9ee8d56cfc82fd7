"""Why a stack cannot be imported.

AutomationError (automation/errors.py)
├── UsageError
│   └── WhichStack   the files have none of that name, or several to choose from
├── UnreadableFile   a file is not there, or is no YAML
└── CannotImport     objects are of the wrong form, or say what cannot be
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import AutomationError, UsageError


class WhichStack(UsageError):
    """It is not clear which stack is meant."""

    def __init__(self, known: Sequence[str]) -> None:
        super().__init__(f"which stack? --stack NAME; the files have: {', '.join(known) or 'none'}")


class UnreadableFile(AutomationError):
    """A file of objects cannot be read.

    Args:
        file: its path.
        cause: without anything of its text, which has credentials.
    """

    def __init__(self, file: Path, cause: str) -> None:
        super().__init__(f"{file} cannot be read: {cause}")


class CannotImport(AutomationError):
    """Nothing was written.

    Args:
        problems: one line each: the object, the field or key, what is there, what is allowed.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__(
            "\n".join(["nothing was written, as objects cannot be used:", *(f"  {p}" for p in self.problems)])
        )
