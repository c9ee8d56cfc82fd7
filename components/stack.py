"""The whole stack: its namespace, its provider and its modules."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from settings import StackSettings, Version

from .cluster import Cluster
from .errors import Downgrade
from .gateway import Gateway
from .guards import Guards
from .module import Module
from .names import Owner
from .objects import Namespace
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
        serving = cluster.serving()
        refuse_downgrades(settings, serving)
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
        gateway = settings.gateway_module
        modules: dict[str, Module] = {}
        for name in (n for n in settings.in_order() if n != gateway):
            modules[name] = Module(name, settings, scope, [modules[d] for d in settings.modules[name].depends_on])
        self.modules: dict[str, Module | Gateway] = {**modules}
        if gateway:
            # Last, behind what it leads to. But a module that serves goes on to do so, whatever becomes of its upgrade, and
            # a failure of one module must not keep the others, the gateway among them, from theirs.
            told = settings.modules[gateway].depends_on
            awaited = [m.release.service for n, m in modules.items() if n not in serving or n in told]
            self.modules[gateway] = Gateway(gateway, settings, scope, awaited)
        self.register_outputs({"namespace": settings.namespace_name})


def _namespace(name: str, scope: Scope) -> Namespace:
    return Namespace(
        name,
        metadata={"name": name, "labels": {**scope.owner.labels, "pod-security.kubernetes.io/enforce": "restricted"}},
        opts=scope.resource(scope.parent),
    )


def refuse_downgrades(settings: StackSettings, serving: Mapping[str, str]) -> None:
    """Compares what is wanted with what serves; versions that cannot be ordered pass."""
    for name, label in serving.items():
        module = settings.modules.get(name)
        if module is None or module.allow_downgrade:
            continue
        wanted, serves = settings.version(name), Version(label)
        if wanted.is_older_than(serves):
            raise Downgrade(name, str(serves), str(wanted))
