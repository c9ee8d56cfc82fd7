"""The images there are: names, Dockerfiles, and what stands on what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devkit.cluster.errors import BuildError as GoBuildError
from devkit.cluster.progress import Progress
from devkit.images.build import Builder, State
from devkit.images.errors import BuildError
from devkit.sample.versions import VERSIONS
from devkit.tools import build as go

CONTEXT = Path(__file__).resolve().parent.parent.parent
MIGRATOR = "localhost/rollout/migrator:1"
LEDGER = "localhost/rollout/ledger"
MODULE = "localhost/rollout/module"  # the sample in the place of any module: 4.1.0 is the sample's 1.1.0; for the ledger 2.41.0
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
    """Gives the names of the images that a demo needs: the migrator's and the sample's."""
    return [MIGRATOR, *(f"{LEDGER}:{number}" for number in VERSIONS)]


def stack_names() -> list[str]:
    """Gives the names of the images that only whole stacks need.

    A gateway has three versions of the same Caddy, to go from one to the next. The catalogue of module kinds refuses versions as
    old as the sample's, so in their place the sample has younger ones; of the ledger it takes no more than 2.x.
    """
    caddy, nats = (group.version().removeprefix("v") for group in (go.CADDY, go.NATS))
    modules = [f"{MODULE}:{line}{number.removeprefix('1.')}" for number in VERSIONS for line in ("4.", "2.4")]
    gateways = [f"{GATEWAY}:{caddy}{suffix}" for suffix in ("-rc.1", "-rc.2", "")]
    return [*gateways, f"{NATS}:{nats}", *modules]


def build(wanted: list[str], builder: Builder) -> list[Image]:
    """Builds images.

    Args:
        wanted: their names, as `names` and `stack_names` give them.
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
        number = "1." + tag.removeprefix("4.").removeprefix("2.4") if repository == MODULE else tag
        arguments = {"BASE": MIGRATOR, "VERSION": number}
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
