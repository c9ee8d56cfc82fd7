"""The images there are: names, Dockerfiles, and what stands on what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from offline.images.build import Builder, State
from offline.sample.versions import VERSIONS

CONTEXT = Path(__file__).resolve().parent.parent.parent
MIGRATOR = "localhost/rollout/migrator:1"
LEDGER = "localhost/rollout/ledger"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Image:
    """One image.

    Attributes:
        name: repository and tag.
        state: what it is made of.
    """

    name: str
    state: State


def names() -> list[str]:
    """Gives the names of all images."""
    return [MIGRATOR, *(f"{LEDGER}:{number}" for number in VERSIONS)]


def build(wanted: list[str], builder: Builder) -> list[Image]:
    """Builds images.

    Args:
        wanted: their names, as `names` gives them.
        builder: builds them.

    Raises:
        ImagesError: see Builder.build.
    """
    migrator = builder.build(_HERE / "Dockerfile.migrator", {"BASE": "base"}, builder.base())
    built = []
    for name in wanted:
        if name == MIGRATOR:
            built.append(Image(name, migrator))
            continue
        arguments = {"BASE": MIGRATOR, "VERSION": name.rpartition(":")[2]}
        built.append(Image(name, builder.build(_HERE / "Dockerfile.ledger", arguments, migrator)))
    return built
