"""Writing files so that a reader, or the next run after a crash, never sees half of one."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write(path: Path, text: str | bytes, mode: int = 0o644) -> bool:
    """Write a file atomically, and not at all when it already says so.

    Args:
        path: the file; its directory is made when missing.
        text: the whole content.
        mode: permissions, in force before the first byte is written.

    Returns:
        Whether the content changed.
    """
    data = text.encode() if isinstance(text, str) else text
    try:
        if path.read_bytes() == data:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def write_json(path: Path, value: Any, mode: int = 0o644) -> bool:
    """Write a value as JSON; see :func:`write`. YAML readers take it as well, JSON being a subset."""
    return write(path, json.dumps(value, indent=2) + "\n", mode)


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a text file; empty when there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 400 * lines))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
