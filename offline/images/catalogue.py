"""The images there are: names, Dockerfiles, and what stands on what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from offline.cluster import build as go
from offline.cluster.errors import BuildError as GoBuildError
from offline.cluster.progress import Progress
from offline.images.build import Builder, State
from offline.images.errors import BuildError
from offline.sample.versions import VERSIONS

CONTEXT = Path(__file__).resolve().parent.parent.parent
MIGRATOR = "localhost/rollout/migrator:1"
LEDGER = "localhost/rollout/ledger"
GATEWAY = "localhost/rollout/gateway"
NATS = "localhost/rollout/nats"
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
    """Gives the names of the images in Python: the migrator's and the sample's."""
    return [MIGRATOR, *(f"{LEDGER}:{number}" for number in VERSIONS)]


def go_names() -> list[str]:
    """Gives the names of the images of Go programs. A gateway has two versions of the same Caddy, to go from one to the other."""
    caddy, nats = (group.version().removeprefix("v") for group in (go.CADDY, go.NATS))
    return [f"{GATEWAY}:{caddy}-rc.1", f"{GATEWAY}:{caddy}", f"{NATS}:{nats}"]


def build(wanted: list[str], builder: Builder) -> list[Image]:
    """Builds images.

    Args:
        wanted: their names, as `names` and `go_names` give them.
        builder: builds them.

    Raises:
        ImagesError: see Builder.build.
    """
    built = []
    for name in wanted:
        repository, _, tag = name.rpartition(":")
        if repository in (GATEWAY, NATS):
            built.append(Image(name, _go_image(repository, tag, builder)))
            continue
        migrator = builder.build(_HERE / "Dockerfile.migrator", {"BASE": "base"}, builder.base())
        if name == MIGRATOR:
            built.append(Image(name, migrator))
            continue
        arguments = {"BASE": MIGRATOR, "VERSION": tag}
        built.append(Image(name, builder.build(_HERE / "Dockerfile.ledger", arguments, migrator)))
    return built


def _go_image(repository: str, tag: str, builder: Builder) -> State:
    """An image with nothing in it but one static executable."""
    group, file = (go.CADDY, "Dockerfile.gateway") if repository == GATEWAY else (go.NATS, "Dockerfile.nats")
    try:
        context = go.build(group, Progress())
    except GoBuildError as error:
        raise BuildError(str(error)) from error
    return builder.within(context).build(_HERE / file, {"VERSION": tag}, State("scratch", ()))
