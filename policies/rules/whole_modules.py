"""A module moves as a whole: no raw --target of one of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from ..images import images
from ..kubernetes import is_serving, label, place
from ..migration import JOB, MODULE, MODULE_VERSION, NAME, VERSION, images_of, is_migration, is_one, migrating, serving
from ..rule import Examples, Finding, Options, StackRule
from ..values import UNREADABLE, Program, Resource
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
    follow: list[object] = list(own) if is_one(migrates) else [("serves", image) for image in own]
    if not any((where, ("repository", image.repository)) in deployed for image in own):
        if label(job, JOB) is None:
            return  # of nothing that this program deploys
        # An image that only migrates says whose it is by its labels; an image that serves speaks for itself.
        follow.append((label(job, MODULE), label(job, MODULE_VERSION)))
    if not any((where, what) in deployed for what in (*follow, None)):
        tags = ", ".join(sorted(i.tag or i.digest or "?" for i in own))
        yield Finding(
            f"it migrates to {tags}, and no Deployment of that image follows in this update",
            "Update the module as a whole, without --target or --exclude; `rollout up` does. Or remove the Job",
        )


@lru_cache(maxsize=4)
def _deployed(program: Program) -> set[tuple[str, object]]:
    """What serves, by namespace: images, those of the containers that serve marked, and modules with their versions.

    None where that is not known, as the gate tells.
    """
    found: set[tuple[str, object]] = set()
    for r in program.resources:
        if is_serving(r):
            where = ""
            try:
                where = place(r)
                found |= {(where, image) for image in images(r, init=False)}
                found |= {(where, ("repository", image.repository)) for image in images(r, init=False)}
                main = serving(r)
                found |= {(where, ("serves", image)) for image in images_of([main] if main else [])}
                if label(r, NAME) is not None:
                    found.add((where, (label(r, NAME), label(r, VERSION))))
            except UNREADABLE:
                found.add((where, None))
    return found


RULE = StackRule(
    name="whole-modules",
    description="A migration and the Deployment of its version are in the same update.",
    reason="--target and --exclude take a resource out of an update and leave its old inputs in place, so one flag can migrate without "
    "deploying or deploy without migrating. No policy sees the flag; this one and the gate see what it leaves.",
    severity="high",
    examples=Examples(PASSES, FAILS),
    checks=(_followed,),
)
