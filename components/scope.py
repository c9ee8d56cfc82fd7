"""What every component of a stack hands down to the resources it declares: namespace, labels, provider, guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pulumi

from .backing_up import Backups
from .guards import Guards
from .names import Owner
from .rehearsing import Rehearsals


@dataclass(frozen=True)
class Scope:
    """Where resources are declared.

    Args:
        namespace: of every object.
        owner: whose label every object carries.
        provider: the Kubernetes provider.
        guards: hooks to bind.
        rehearsals: of migrations.
        backups: before migrations.
        parent: the component that the next one is a child of.
        after: resources that everything here waits for, such as the namespace.
        contents: Secret that the stack refers to -> digits that change with what is in it.
    """

    namespace: str
    owner: Owner
    provider: pulumi.ProviderResource
    guards: Guards
    rehearsals: Rehearsals
    backups: Backups
    parent: pulumi.Resource
    after: tuple[pulumi.Resource, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict)

    def under(self, parent: pulumi.Resource, after: Sequence[pulumi.Resource] = ()) -> Scope:
        return replace(self, parent=parent, after=(*self.after, *after))

    def metadata(
        self, name: str, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": {**self.owner.labels, **(labels or {})},
        }
        if annotations:
            metadata["annotations"] = dict(annotations)
        return metadata

    def component(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self.parent)

    def _options(
        self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource], hooks: pulumi.ResourceHookBinding
    ) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=parent, provider=self.provider, depends_on=[*self.after, *depends_on], hooks=hooks
        )

    def resource(self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        return self._options(parent, depends_on, self.guards.plain)

    def job(
        self,
        parent: pulumi.Resource,
        depends_on: Sequence[pulumi.Resource] = (),
        before: Sequence[pulumi.ResourceHook] = (),
    ) -> pulumi.ResourceOptions:
        return self._options(parent, depends_on, self.guards.job(before))

    def serving(self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        return self._options(parent, depends_on, self.guards.serving)

    def mounted(self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        return self._options(parent, depends_on, self.guards.mounted)

    def after_worker(
        self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource] = ()
    ) -> pulumi.ResourceOptions:
        """Of what serves beside a worker."""
        return self._options(parent, depends_on, self.guards.serving_with_worker)

    def switching(
        self, parent: pulumi.Resource, autoscaled: bool, depends_on: Sequence[pulumi.Resource] = ()
    ) -> pulumi.ResourceOptions:
        """Of a Service: with the guard that an autoscaled version needs."""
        return self._options(parent, depends_on, self.guards.switching if autoscaled else self.guards.plain)
