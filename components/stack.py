"""The whole stack: its namespace, its provider and its modules."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from settings import StackSettings, Version

from .cluster import Cluster
from .errors import Downgrade
from .guards import Guards
from .module import Module
from .names import Owner
from .scope import Scope


class Stack(pulumi.ComponentResource):
    """Every module of a stack, each behind its own gate and independent of the others unless told so.

    Args:
        settings: of the stack, whole and consistent.
        cluster: what serves now.
        owner: the stack's identity.

    Raises:
        Downgrade: a module would go back to an older version and that was not asked for.
        ClusterUnreachable: the Kubernetes API does not answer.
    """

    def __init__(self, settings: StackSettings, cluster: Cluster, owner: Owner) -> None:
        refuse_downgrades(settings, cluster)
        super().__init__("rollout:index:Stack", settings.stack, None)
        provider = k8s.Provider(
            "kubernetes",
            context=settings.context,
            # After a killed update the next one takes over what that one had begun; `ours-or-new` guards everything else.
            upsert_existing_objects=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        scope = Scope(settings.namespace_name, owner, provider, Guards.register(cluster, owner), self)
        if settings.namespace.create:
            scope = scope.under(self, [_namespace(settings.namespace_name, scope)])
        self.modules: dict[str, Module] = {}
        for name in settings.in_order():
            self.modules[name] = Module(
                name, settings, scope, [self.modules[d] for d in settings.modules[name].depends_on]
            )
        self.register_outputs({"namespace": settings.namespace_name})


def _namespace(name: str, scope: Scope) -> k8s.core.v1.Namespace:
    return k8s.core.v1.Namespace(
        name,
        metadata={"name": name, "labels": {**scope.owner.labels, "pod-security.kubernetes.io/enforce": "restricted"}},
        opts=scope.resource(scope.parent),
    )


def refuse_downgrades(settings: StackSettings, cluster: Cluster) -> None:
    """Compares what is wanted with what serves; versions that cannot be ordered pass."""
    for name, label in cluster.serving().items():
        module = settings.modules.get(name)
        if module is None or module.allow_downgrade:
            continue
        wanted, serving = settings.version(name), Version(label)
        if wanted.is_older_than(serving):
            raise Downgrade(name, str(serving), str(wanted))
