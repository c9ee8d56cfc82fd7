"""Each version of a module has resources of its own in Pulumi's state."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..images import Image, images
from ..kubernetes import kind, label
from ..migration import JOB, NAME, is_migration, migrations_of, needs_gate
from ..rule import Examples, Finding, Options, StackRule
from ..values import Program, Resource
from .gate import PASSES as _GATED

PASSES = _GATED.replace(
    "metadata: {name: ledger-1-1-0-migrate}",
    "metadata: {name: ledger-1-1-0-migrate, labels: {rollout.formance.com/job: migrate}}",
)
FAILS = PASSES.replace("ledger-1.1.0-migrate", "ledger-migrate").replace("name: ledger-1.1.0,", "name: ledger,")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _versioned(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if kind(resource) == "Deployment":
        if not needs_gate(resource, program) or not any(label(j, JOB) for j in migrations_of(resource, program)):
            return
    elif not (is_migration(resource) and label(resource, JOB)):
        return
    named = [i for i in images(resource, init=False) if i.tag or i.digest]
    if named and not any(_is_in(image, resource.name) for image in named):
        version = named[0].tag or "VERSION"
        example = f"{label(resource, NAME) or resource.name}-{version}"
        yield Finding(
            f"its name in Pulumi's state does not have its version {version}, so an update changes or replaces the one that serves",
            f"Name it {example}{'-migrate' if kind(resource) == 'Job' else ''}",
        )


def _is_in(image: Image, name: str) -> bool:
    """The whole tag, or its beginning where it is long, as a part of the name of its own: 1.1.0 is not in ledger-11.1.0."""
    text = image.tag or (image.digest or "").removeprefix("sha256:")[:8]
    return re.search(rf"(^|-){re.escape(_slug(text)[:20])}", _slug(name)) is not None


RULE = StackRule(
    name="versioned-names",
    description="The Deployment and the migration Job of a labelled module have their version in their logical names.",
    reason="Then a version's resources are new ones to Pulumi: made first, the old ones deleted only after everything succeeded, and going back "
    "after a failure changes nothing. Programs that do not use the labels of migration Jobs are left to update in place.",
    severity="high",
    examples=Examples(PASSES, FAILS),
    checks=(_versioned,),
)
