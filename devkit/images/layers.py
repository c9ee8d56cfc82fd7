"""File trees as layers: tar archives that come out the same, byte for byte, from the same files."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devkit.images.errors import BuildError

_WHITEOUT = ".wh."


@dataclass(frozen=True)
class Layer:
    """One layer of an image.

    Attributes:
        digest: `sha256:...` of its uncompressed tar archive, which is also how it is stored.
        size: bytes of it.
    """

    digest: str
    size: int


Snapshot = dict[str, tuple[int, int, int, int]]


def snapshot(root: Path) -> Snapshot:
    """Notes what is in a tree, enough to tell later what has changed.

    Args:
        root: the tree.
    """
    found: Snapshot = {}
    for path in _walk(root):
        info = path.lstat()
        # A directory's times change with its entries; only the entries matter.
        times = (0, 0) if stat.S_ISDIR(info.st_mode) else (info.st_mtime_ns, info.st_ctime_ns)
        size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
        found[str(path.relative_to(root))] = (info.st_mode, size, *times)
    return found


def changed(before: Snapshot, after: Snapshot) -> tuple[list[str], list[str]]:
    """Compares two snapshots.

    Returns:
        Paths that are new or differ, and paths that are gone, both in order.
    """
    gone = sorted(before.keys() - after.keys())
    # Removing a directory removes what was in it.
    gone = [path for path in gone if str(Path(path).parent) not in before or str(Path(path).parent) in after]
    return sorted(path for path, entry in after.items() if before.get(path) != entry), gone


def write(root: Path, paths: list[str], gone: list[str], blobs: Path) -> Layer:
    """Writes a layer.

    Args:
        root: the tree.
        paths: what of it goes into the layer; parents are added.
        gone: what lower layers have and this one removes.
        blobs: directory in which the layer is stored by its digest.
    """
    parents = {str(parent) for path in (*paths, *gone) for parent in Path(path).parents} - {"."}
    whiteouts = {str(Path(path).with_name(_WHITEOUT + Path(path).name)) for path in gone}
    partial = blobs / f".partial-{os.getpid()}"
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted({*paths, *parents, *whiteouts}):
            info = tarfile.TarInfo(path)
            if path in whiteouts:
                tar.addfile(info)
                continue
            _add(tar, info, root / path)
    digest, size = _digest(partial)
    partial.replace(blobs / digest.removeprefix("sha256:"))
    return Layer(digest, size)


def extract(layer: Layer, blobs: Path, root: Path) -> None:
    """Unpacks a layer on top of a tree."""
    with tarfile.open(blobs / layer.digest.removeprefix("sha256:")) as tar:
        for member in tar:
            path = Path(member.name)
            if path.name.startswith(_WHITEOUT):
                raise BuildError(f"unpacking a layer that removes {member.name} is not done here")
            tar.extract(member, root, filter="fully_trusted", numeric_owner=True)


def tree_digest(paths: list[Path], root: Path) -> str:
    """Gives a digest over names, modes and contents of files: what a COPY depends on.

    Args:
        paths: files, in order.
        root: directory that their names are taken from.
    """
    total = hashlib.sha256()
    for path in paths:
        executable = os.access(path, os.X_OK)
        total.update(f"{path.relative_to(root)}\0{executable}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _walk(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            yield Path(directory, name)


def _add(tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> None:
    """Adds a path with neither time nor owner, and with a mode that does not depend on the builder's umask."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        tar.addfile(info)
    elif stat.S_ISDIR(mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o1777 if mode & stat.S_ISVTX else 0o755
        tar.addfile(info)
    elif stat.S_ISREG(mode):
        info.size, info.mode = path.stat().st_size, 0o755 if mode & stat.S_IXUSR else 0o644
        with path.open("rb") as file:
            tar.addfile(info, file)
    # Devices and sockets are the runtime's to make.


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", path.stat().st_size
