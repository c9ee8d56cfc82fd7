"""Image references, and the images that a workload runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .kubernetes import containers
from .values import Resource, get


@dataclass(frozen=True)
class Image:
    """An image reference taken apart; ``ledger`` and ``docker.io/library/ledger`` are the same repository."""

    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> Image:
        rest, _, digest = text.partition("@")
        head, slash, last = rest.rpartition("/")
        base, _, tag = last.partition(":")
        registry = head.partition("/")[0]
        if not slash:
            head = "docker.io/library"
        elif not re.search(r"[.:]|^localhost$", registry):
            head = f"docker.io/{head}"
        return cls(f"{head}/{base}", tag or None, digest or None)

    @property
    def code(self) -> str:
        """What two references have in common that run one version of the code: a digest whatever the tag beside it, else the tag
        without what says which variant of the version it is (``7.0.0-alpine``, ``7.0.0-migrate``)."""
        if self.digest:
            return f"{self.repository}@{self.digest}"
        parts = [part for part in (self.tag or "latest").split("-") if not _VARIANT.fullmatch(part)]
        return f"{self.repository}:{'-'.join(parts) or self.tag}"


# Words of a tag that name a variant of one version, built from the same code: what it runs, and on what.
_VARIANT = re.compile(
    r"(db-?)?migrat(e|or|ions?)|migrates|schema|init|worker|web|api|server|jobs?|cli|tools?|full|slim|alpine[0-9.]*|debian[0-9.]*|ubuntu[0-9.]*|ubi[0-9]*"
    r"|bookworm|bullseye|buster|trixie|jammy|noble|distroless|scratch|debug|nonroot|rootless|fips|amd64|arm64|linux|multiarch",
    re.IGNORECASE,
)


def images(resource: Resource, *, init: bool = True) -> Iterator[Image]:
    for container in containers(resource, init=init):
        image = image_of(container)
        if image:
            yield image


def image_of(container: Mapping[str, Any]) -> Image | None:
    text = get(container, "image")
    return _parsed(str(text)) if text else None


@lru_cache(maxsize=4096)  # the rules compare a program's images again and again
def _parsed(text: str) -> Image:
    return Image.parse(text)
