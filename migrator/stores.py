"""Where backups are kept: a folder, such as a mounted volume.

A store keeps objects by name. What is begun is not there under its own name until it is finished, and that does not make
it a backup either: that takes a manifest, which is written last.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from migrator.errors import StoreFailed

_PARTIAL = ".partial"
_CHUNK = 1 << 20


class Store(Protocol):
    """Objects by name."""

    def names(self) -> list[str]:
        """The names of all objects, those only begun included."""

    def begin(self, name: str, chunks: Iterable[bytes]) -> None:
        """Writes an object whole; what `chunks` raises is passed on, and nothing is left under the name."""

    def finish(self, name: str) -> None:
        """Gives what was begun its name."""

    def read(self, name: str) -> Iterator[bytes]:
        """An object in pieces, finished or only begun."""

    def delete(self, name: str) -> None: ...


class Folder:
    """A folder, such as a mounted volume."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        with self._told("read"):
            return sorted(each.name for each in self._path.iterdir() if each.is_file())

    def begin(self, name: str, chunks: Iterable[bytes]) -> None:
        partial = self._path / (name + _PARTIAL)
        try:
            with self._told("written"), partial.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise

    def finish(self, name: str) -> None:
        with self._told("written"):
            (self._path / (name + _PARTIAL)).replace(self._path / name)
            # The name is on disk once its folder is.
            folder = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def read(self, name: str) -> Iterator[bytes]:
        path = self._path / name
        with self._told("read"), (path if path.exists() else self._path / (name + _PARTIAL)).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def delete(self, name: str) -> None:
        with self._told("written"):
            (self._path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hints = {
                errno.ENOSPC: "The volume is full: make the claim larger, or keep fewer backups.",
                errno.EACCES: "The volume's group must be able to write: fsGroup, or the file system's own rights.",
                errno.ENOENT: "There is no such folder or backup; `backups` lists what there is.",
            }
            raise StoreFailed(
                f"{error.filename or self._path} cannot be {verb}: {error.strerror}",
                hint=hints.get(error.errno or 0, ""),
            ) from None
