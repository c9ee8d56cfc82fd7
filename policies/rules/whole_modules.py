"""A module moves as a whole: no raw --target of one of its parts."""

from __future__ import annotations

from collections.abc import Iterator

from ..images import images
from ..kubernetes import in_namespace, is_serving
from ..migration import is_migration, migrations_of, needs_gate
from ..rule import Examples, Finding, Options, StackRule
from ..values import NotKnown, Program, Resource
from .gate import PASSES as _GATED

PASSES = _GATED
FAILS = _GATED.replace("ledger:1.1.0}", "ledger:1.0.0}")


def _followed(job: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """A migration without the version it migrates for: the schema would go ahead of what is deployed."""
    if not is_migration(job):
        return
    own = set(images(job, init=False))
    for other in in_namespace(program, job):
        try:
            if (
                is_serving(other)
                and needs_gate(other, program)
                and job in migrations_of(other, program)
                and own & set(images(other, init=False))
            ):
                return
        except NotKnown:
            return  # the gate tells of it
    tags = ", ".join(sorted(i.tag or i.digest or "?" for i in own))
    yield Finding(
        f"it migrates to {tags}, and no Deployment of that image follows in this update",
        "Update the module as a whole, without --target or --exclude; `rollout up` does. Or remove the Job",
    )


RULE = StackRule(
    name="whole-modules",
    description="A migration and the Deployment of its version are in the same update.",
    reason="--target and --exclude take a resource out of an update and leave its old inputs in place, so one flag can migrate without "
    "deploying or deploy without migrating. No policy sees the flag; this one and the gate see what it leaves.",
    severity="high",
    examples=Examples(PASSES, FAILS),
    checks=(_followed,),
)
