"""Image references, and the images that a workload runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

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


def images(resource: Resource, *, init: bool = True) -> Iterator[Image]:
    for container in containers(resource, init=init):
        text = get(container, "image")
        if text:
            yield Image.parse(str(text))
