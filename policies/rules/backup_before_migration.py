"""Before a migration, the database is backed up."""

from __future__ import annotations

from collections.abc import Iterator

from ..migration import is_migration
from ..rule import Examples, Finding, Options, ResourceRule
from ..values import Resource

ANNOTATION = "rollout.formance.com/backup"

PASSES = """
apiVersion: batch/v1
kind: Job
metadata: {name: ledger-1-1-0-migrate}
spec:
  template:
    metadata: {annotations: {rollout.formance.com/backup: pvc}}
    spec:
      containers: [{name: migrate, image: example.org/ledger:1.1.0, args: [migrate]}]
"""
FAILS = PASSES.replace("annotations: {rollout.formance.com/backup: pvc}", "labels: {a: b}")


def _backed_up(resource: Resource, options: Options) -> Iterator[Finding]:
    if is_migration(resource) and not resource.get("spec", "template", "metadata", "annotations", ANNOTATION):
        yield Finding(
            "its database is not backed up before it",
            "Set rollout:modules.NAME.backup, or, where something else does, annotate the Job's pods "
            f"{ANNOTATION}: with its name",
        )


RULE = ResourceRule(
    name="backup-before-migration",
    description="A migration's database is backed up before it.",
    reason="A migration that succeeds and was wrong, or that commits step by step and fails, is undone by a backup alone.",
    unseen="whether the backup was made, and can be restored: the annotation says that something makes it",
    severity="medium",
    level="advisory",
    examples=Examples(PASSES, FAILS),
    checks=(_backed_up,),
)
