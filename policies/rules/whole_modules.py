"""A module moves as a whole: no raw --target of one of its parts."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import lru_cache

from ..images import images
from ..kubernetes import Nearby, is_serving, label, place
from ..migration import JOB, MODULE, MODULE_VERSION, NAME, VERSION, images_of, is_migration, is_one, migrating, serving
from ..rule import Examples, Finding, Options, StackRule
from ..values import UNREADABLE, NotKnown, Program, Resource
from .gate import PASSES as _GATED

PASSES = _GATED
FAILS = _GATED.replace("ledger:1.1.0}", "ledger:1.0.0}")


def _followed(job: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """A migration without the version it migrates for: the schema would go ahead of what is deployed."""
    if not is_migration(job):
        return
    migrates = migrating(job)
    own = images_of(migrates)
    deployed, where = _deployed(program), place(job)
    # Where a sidecar may be among them, being deployed says little: it has to be what serves.
    follow: list[Hashable] = [image.code if is_one(migrates) else ("serves", image.code) for image in own]
    if not any(deployed.nearest(where, ("repository", image.repository)) for image in own):
        if label(job, JOB) is None:
            return  # of nothing that this program deploys
        # An image that only migrates says whose it is by its labels; an image that serves speaks for itself.
        follow += [(label(job, MODULE), label(job, MODULE_VERSION)), "labels"]
    if not deployed.at(where, *follow, None):
        if deployed.perhaps(where, *follow, None):
            raise NotKnown("metadata.namespace")
        tags = ", ".join(sorted(i.tag or i.digest or "?" for i in own))
        yield Finding(
            f"it migrates to {tags}, and no Deployment of that image follows in this update",
            "Update the module as a whole, without --target or --exclude; `rollout up` does. Or remove the Job",
        )


@lru_cache(maxsize=4)
def _deployed(program: Program) -> Nearby[bool]:
    """What serves, by place: images, those of the containers that serve marked, and modules with their versions.

    None where that is not known, as the gate tells.
    """
    found: Nearby[bool] = Nearby()
    for r in program.resources:
        if is_serving(r):
            where = place(r)
            try:
                keys: list[Hashable] = [image.code for image in images(r, init=False)]
                keys += [("repository", image.repository) for image in images(r, init=False)]
                main = serving(r)
                keys += [("serves", image.code) for image in images_of([main] if main else [])]
            except UNREADABLE:
                keys = [None]
            try:
                if label(r, NAME) is not None:
                    keys.append((label(r, NAME), label(r, VERSION)))
            except UNREADABLE:
                keys.append("labels")
            for key in keys:
                found.add(where, key, True)
    return found


RULE = StackRule(
    name="whole-modules",
    description="A migration and the Deployment of its version are in the same update.",
    reason="--target and --exclude take a resource out of an update and leave its old inputs in place, so one flag can migrate without "
    "deploying or deploy without migrating. No policy sees the flag; this one and the gate see what it leaves.",
    unseen="the flags themselves, and a Deployment that another program makes",
    severity="high",
    examples=Examples(PASSES, FAILS),
    checks=(_followed,),
)
