"""The whole stack: its namespace, its provider and its modules."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from settings import Plan, StackSettings, Version

from .backing_up import Backups
from .broker import Topics
from .cluster import Cluster
from .configuration import fingerprint, references
from .dropping import Drops
from .errors import Downgrade, Moved
from .gateway import Gateway
from .guards import Guards
from .module import Module
from .names import FEWER, NAME, VERSION, Owner
from .network import declare_network_policies
from .rehearsing import Rehearsals
from .scope import Scope

# After a killed update the next one takes over what that one had begun; the hook `ours-or-new` guards everything else. Before
# pulumi-kubernetes 4.30 a server-side apply always does so (`Creation` in provider/pkg/await); since then it has to be asked for.
_UPSERT = "upsert_existing_objects"
_TAKES_OVER: dict[str, Any] = {_UPSERT: True} if _UPSERT in inspect.signature(k8s.ProviderArgs).parameters else {}


class Stack(pulumi.ComponentResource):
    """Every module of a stack, each behind its own gate and independent of the others unless told so.

    Args:
        settings: of the stack, whole and consistent.
        cluster: what serves now.
        owner: the stack's identity.
        rehearsals: of its migrations.
        backups: before them.
        drops: of its databases, in a destroy that drops them.

    Raises:
        Moved: the stack is at work in another namespace.
        Downgrade: a module would go back to an older version and that was not asked for.
        ClusterUnreachable: the Kubernetes API does not answer.
    """

    def __init__(
        self,
        settings: StackSettings,
        cluster: Cluster,
        owner: Owner,
        rehearsals: Rehearsals,
        backups: Backups,
        drops: Drops | None = None,
    ) -> None:
        serving = cluster.serving()
        records = adopted(settings) | cluster.records()
        elsewhere = cluster.elsewhere()
        if elsewhere:
            raise Moved(settings.namespace_name, elsewhere)
        refuse_downgrades(settings, serving, records)
        for line in fewer_replicas(settings, cluster, serving):
            pulumi.log.warn(FEWER + line)
        super().__init__("rollout:index:Stack", settings.stack, None)
        provider = k8s.Provider(
            "kubernetes",
            context=settings.context,
            opts=pulumi.ResourceOptions(parent=self),
            **_TAKES_OVER,
        )
        plans = {name: settings.plan(name) for name in settings.modules}
        contents = _contents(plans, cluster, owner)
        guards = Guards.register(cluster, owner, drops.before_delete if drops else None)
        scope = Scope(settings.namespace_name, owner, provider, guards, rehearsals, backups, self, contents=contents)
        if settings.namespace.create:
            scope = scope.under(self, [_namespace(settings, scope)])
        if settings.network_policies:
            declare_network_policies(settings, scope)
        # What uses the broker waits for its topics; that is nothing to wait for but in an update that changes them.
        topics = [Topics(settings, scope).job] if settings.broker and settings.broker.is_made else []
        gateway = settings.gateway_module
        modules: dict[str, Module] = {}
        for name in (n for n in settings.in_order() if n != gateway):
            earlier = [modules[d] for d in settings.modules[name].depends_on]
            recorded = cluster.migrated(name) if settings.is_disabled(name) else None
            migrated = records.get(name) or _newest(recorded or ())
            within = scope.under(self, topics) if settings.listens(name) or settings.publishes(name) else scope
            modules[name] = Module(name, settings, plans[name], within, earlier, recorded, migrated)
        self.modules: dict[str, Module | Gateway] = {**modules}
        if gateway and not settings.is_disabled(gateway):
            # Last, behind what it leads to. But a module that serves goes on to do so, whatever becomes of its upgrade, and
            # a failure of one module must not keep the others, the gateway among them, from theirs.
            told = settings.modules[gateway].depends_on
            ready = {n: m.release.service for n, m in modules.items() if m.release}
            awaited = [service for n, service in ready.items() if n not in serving or n in told]
            self.modules[gateway] = Gateway(gateway, settings, plans[gateway], scope, awaited)
        self.register_outputs({"namespace": settings.namespace_name})


def _namespace(settings: StackSettings, scope: Scope) -> k8s.core.v1.Namespace:
    name, given = settings.namespace_name, settings.namespace
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    # The one that a destroy has left is taken over, whatever other labels it had.
    annotations = {**given.annotations, "pulumi.com/patchForce": "true"}
    labels = {**given.labels, **scope.owner.labels, **restricted}
    metadata: dict[str, Any] = {"name": name, "labels": labels, "annotations": annotations}
    options = scope.resource(scope.parent)
    if any(m.database for m in settings.modules.values()):
        # With it went the records of what the databases, which are kept, were migrated to; and the claims that hold backups.
        options.retain_on_delete = True
    return k8s.core.v1.Namespace(name, metadata=metadata, opts=options)


def _contents(plans: Mapping[str, Plan], cluster: Cluster, owner: Owner) -> dict[str, str]:
    """Digits that change with what is in the Secrets that the stack refers to and others keep."""
    names: set[str] = set()
    for plan in plans.values():
        for role in (plan.api, plan.worker):
            names |= references(role.env) if role else set()
    return {name: fingerprint(content, owner.label) for name, content in cluster.contents(sorted(names)).items()}


def adopted(settings: StackSettings) -> dict[str, str]:
    """Module name -> the version label its database was adopted at; a record in the cluster is newer and takes precedence."""
    found = {name: settings.adopted(name) for name in settings.modules}
    return {name: version.label for name, version in found.items() if version}


def refuse_downgrades(settings: StackSettings, serving: Mapping[str, str], records: Mapping[str, str]) -> None:
    """Compares what is wanted with what serves, and with what was migrated to last.

    A migration may have succeeded for a version that never became healthy: what serves was shown to work on its schema, and going
    back to that is no downgrade, but any other version that is older is one. Versions that cannot be ordered pass.
    """
    for name, module in settings.modules.items():
        if module.allow_downgrade:
            continue
        wanted, serves, record = settings.version(name), serving.get(name), records.get(name)
        if serves and wanted.is_older_than(Version(serves)):
            raise Downgrade(name, str(Version(serves)), str(wanted), serves=True)
        if record and wanted.label != serves and wanted.is_older_than(Version(record)):
            raise Downgrade(name, str(Version(record)), str(wanted), serves=False)


def fewer_replicas(settings: StackSettings, cluster: Cluster, serving: Mapping[str, str]) -> Iterator[str]:
    """The modules whose new version gets fewer pods than serve: somebody has scaled by hand, for a load that is still there."""
    for name, module in settings.modules.items():
        serves, wanted = serving.get(name), settings.version(name)
        if serves in (None, wanted.label) or module.autoscaling or settings.is_disabled(name):
            continue
        now = cluster.size({NAME: name, VERSION: str(serves)})
        if now and now.replicas > module.replicas:
            yield (
                f"{name} {serves} serves with {now.replicas}, and {wanted} gets {module.replicas} and all of the traffic. "
                f"If it needs as many, set modules.{name}.replicas, or autoscaling, before it is updated"
            )


def _newest(labels: Iterable[str]) -> str | None:
    """The newest of some versions; None if there is none that can be ordered."""
    ordered = [(v.semantic, label) for label in labels if (v := Version(label)).semantic is not None]
    return max(ordered)[1] if ordered else None
