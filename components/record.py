"""Which version a module's database was migrated to last, for as long as there is the database."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from settings import CompatibilitySettings

from .names import MIGRATED, MODULE, MODULE_VERSION, NAME, RECORD, migrated_name
from .scope import Scope

DECISIONS = "rollout.formance.com/compatibility"


def record(
    module: str,
    version: str,
    parent: pulumi.Resource,
    scope: Scope,
    depends_on: Sequence[pulumi.Resource] = (),
    compatibility: CompatibilitySettings | None = None,
) -> k8s.core.v1.ConfigMap:
    """Declares the record: an empty ConfigMap with the version as a label.

    What serves tells the version too, and so do the Jobs, but a disabled module has no workloads, its Job goes once another
    version is wanted, and a module that is taken out of the configuration keeps nothing but its database. This is kept with
    that one. A label and no data, because Pulumi replaces a ConfigMap whose data changes.

    Args:
        module: name.
        version: its label.
        parent: of the resource.
        scope: where to declare it.
        depends_on: the migration.
        compatibility: what was decided about the findings of its rehearsal; kept with the reasons.
    """
    name = migrated_name(module)
    opts = scope.resource(parent, depends_on)
    opts.retain_on_delete = True
    labels = {NAME: module, MODULE: module, RECORD: MIGRATED, MODULE_VERSION: version}
    # It is taken over under another parent when a module is disabled or enabled, and changed by a restore: fields of a manager
    # before are no reason to refuse (https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/#annotations).
    annotations = {"pulumi.com/patchForce": "true"}
    if compatibility and compatibility.findings:
        annotations[DECISIONS] = json.dumps([each.model_dump() for each in compatibility.findings])
    metadata = scope.metadata(name, labels, annotations)
    return k8s.core.v1.ConfigMap(name, metadata=metadata, opts=opts)
