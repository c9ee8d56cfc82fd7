"""Where backups are kept: a folder, or a bucket of an S3 server.

A store keeps objects by name. What is begun is not there under its own name in a folder until it is finished; S3 shows an
object only once all of it has arrived. Neither makes it a backup: that takes a manifest, which is written last.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from migrator.errors import InvalidMigration, StoreFailed

_PARTIAL = ".partial"
_CHUNK = 1 << 20
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html: at most 10,000 parts, so at most 320 GB in one object.
_PART = 32 << 20
_PARTS = 2  # at once; each is in memory


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


def store(where: str, environment: Mapping[str, str]) -> Store:
    """The store that a path or an URL names.

    Args:
        where: a folder, or `s3://bucket/prefix`.
        environment: has what S3's clients look for: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, ...

    Raises:
        InvalidMigration: it is neither.
    """
    if "://" not in where:
        return Folder(Path(where))
    parts = urlsplit(where)
    if parts.scheme != "s3" or not parts.netloc:
        raise InvalidMigration(f"{where} is no place for backups", hint="Give a folder, or s3://bucket/prefix.")
    return Bucket(parts.netloc, parts.path.strip("/"), environment)


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


class Bucket:
    """A part of a bucket of S3 or of a server that speaks its protocol."""

    def __init__(self, bucket: str, prefix: str, environment: Mapping[str, str]) -> None:
        import obstore  # the folder needs none of it
        from obstore.store import S3Store

        self._obstore: Any = obstore
        self._where = f"s3://{bucket}/{prefix}".rstrip("/")
        plain = environment.get("AWS_ENDPOINT_URL", "").startswith("http://")
        with self._told("used"):
            self._store = S3Store(
                bucket,
                prefix=prefix or None,
                config={k: v for k, v in environment.items() if k.startswith("AWS_") and v},
                # A dump is read as fast as pg_restore takes it, so the whole may last as long as the Job does; silence may not.
                client_options={"allow_http": plain, "timeout": "24h", "read_timeout": "60s"},
                retry_config={"max_retries": 5},
            )

    def names(self) -> list[str]:
        with self._told("read"):
            pages = self._obstore.list(self._store)
            return sorted(str(each["path"]) for page in pages for each in page)

    def begin(self, name: str, chunks: Iterable[bytes]) -> None:
        with self._told("written"):
            writer = self._obstore.open_writer(self._store, name, buffer_size=_PART, max_concurrency=_PARTS)
            # Closed only when everything is in it: what is not closed never becomes an object.
            for chunk in chunks:
                writer.write(chunk)
            writer.close()

    def finish(self, name: str) -> None:
        pass

    def read(self, name: str) -> Iterator[bytes]:
        with self._told("read"):
            for chunk in self._obstore.get(self._store, name).stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)

    def delete(self, name: str) -> None:
        with self._told("written"):
            self._obstore.delete(self._store, name)

    @contextlib.contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            said = " ".join(str(error).split()).partition(" Debug source")[0][:400]
            raise StoreFailed(
                f"{self._where} cannot be {verb}: {said}",
                hint="Check endpoint, bucket, region and the credentials' Secret.",
            ) from None
