"""Kubernetes objects as the rules read them: pods, containers, selectors, how long they are waited for."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from .values import UNKNOWN, NotKnown, Provider, Resource, get

# Where each kind keeps its pod template.
_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}
# What sends requests from outside to Services.
ROUTES = (
    "Ingress",
    "HTTPRoute",
    "GRPCRoute",
    "TCPRoute",
    "TLSRoute",
    "networking.istio.io/VirtualService",
    "traefik.io/IngressRoute",
    "traefik.io/IngressRouteTCP",
    "traefik.containo.us/IngressRoute",
    "projectcontour.io/HTTPProxy",
    "split.smi-spec.io/TrafficSplit",
    "route.openshift.io/Route",
    "getambassador.io/Mapping",
    "apisix.apache.org/ApisixRoute",
    "k8s.nginx.org/VirtualServer",
    "elbv2.k8s.aws/TargetGroupBinding",
)
# Where a container says what is run in it, or asked of it, beside its command.
HOOKS = (
    ("livenessProbe",),
    ("readinessProbe",),
    ("startupProbe",),
    ("lifecycle", "postStart"),
    ("lifecycle", "preStop"),
)
# Kinds of operators that may hold containers or a pod template, and make pods of their own software: databases, poolers, monitoring, CI.
_OPERATED = re.compile(
    r"([\w-]+\.)*(monitoring\.coreos\.com|elastic\.co|crunchydata\.com|acid\.zalan\.do|cnpg\.io|strimzi\.io|percona\.com|rabbitmq\.com|mongodb\.com"
    r"|opentelemetry\.io|jaegertracing\.io|victoriametrics\.com|grafana\.integreatly\.org|redis\.opstreelabs\.in|mariadb\.com|kafka\.banzaicloud\.io"
    r"|actions\.github\.com|actions\.summerwind\.dev|apps\.gitlab\.com|jenkins\.io|keycloak\.org|datastax\.com|k8ssandra\.io|scylladb\.com|altinity\.com"
    r"|minio\.min\.io|banzaicloud\.com|dragonflydb\.io|stackgres\.io|kubedb\.com|zookeeper\.pravega\.io|solr\.apache\.org|nats\.io|gateway\.envoyproxy\.io"
    r"|vault\.hashicorp\.com|secrets\.hashicorp\.com|oceanbase\.oceanbase\.com|pingcap\.com|mysql\.oracle\.com|temporal\.io)/.*"
)
_OTHERS_TEMPLATE = ("spec", "template")  # of kinds that are not Kubernetes' own, such as Argo's Rollout
_SERVING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")
# https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/ : what the provider waits without the annotation.
AWAIT_SECONDS = 600.0
TIMEOUT = "pulumi.com/timeoutSeconds"


def kind(resource: Resource) -> str:
    """``Deployment`` for any version of it, ``DeploymentPatch`` for a change of one that is made elsewhere.

    Kinds that are not Kubernetes' own have their group before them (``argoproj.io/Rollout``). Empty for what is no object.
    """
    return _kind(resource.type)


@lru_cache  # a program has hundreds of resources and few types, and every rule asks
def _kind(token: str) -> str:
    if not token.startswith("kubernetes:"):
        return ""
    group, _, name = token.removeprefix("kubernetes:").rpartition(":")
    group = group.partition("/")[0]
    return name if "." not in group or group.endswith(".k8s.io") else f"{group}/{name}"


def patched(resource: Resource) -> str:
    """The kind of the objects that a Patch resource changes, empty for any other resource."""
    name = kind(resource)
    return name.removesuffix("Patch") if name.endswith("Patch") else ""


def is_workload(resource: Resource) -> bool:
    """Whether it makes or changes pods."""
    return (patched(resource) or kind(resource)) in _TEMPLATES or _has_others_template(resource)


def is_serving(resource: Resource) -> bool:
    """Whether its pods are meant to run on and get traffic."""
    return kind(resource) in _SERVING or _has_others_template(resource)


def _has_others_template(resource: Resource) -> bool:
    if "/" not in kind(resource):
        return False
    try:
        return isinstance(get(resource.props, *_OTHERS_TEMPLATE, "spec", "containers"), list)
    except NotKnown:
        return False


def is_operated(resource: Resource) -> bool:
    """Whether it is of a kind of which an operator makes pods of its own software."""
    return _OPERATED.fullmatch(kind(resource)) is not None


def is_partial(resource: Resource) -> bool:
    """Whether what it leaves open may be written elsewhere: of a Patch by who made the object, of an operator's kind by the operator."""
    return resource.type.endswith("Patch") or is_operated(resource)


def may_serve(resource: Resource) -> bool:
    """Whether it is of a kind that is not Kubernetes' own, and it is not known yet whether it has a pod template."""
    if "/" not in kind(resource):
        return False
    try:
        get(resource.props, *_OTHERS_TEMPLATE, "spec", "containers")
    except NotKnown:
        return True
    return False


def template_path(resource: Resource) -> tuple[str, ...]:
    return _TEMPLATES.get(patched(resource) or kind(resource), _OTHERS_TEMPLATE)


def pod(resource: Resource) -> Mapping[str, Any]:
    """The pod's spec."""
    return get(resource.props, *template_path(resource), "spec") or {}


def pod_labels(resource: Resource) -> Mapping[str, str]:
    return known(get(resource.props, *template_path(resource), "metadata", "labels") or {}, "pod labels")


def containers(resource: Resource, *, init: bool = True) -> list[Mapping[str, Any]]:
    """Its containers, those that run before the others first.

    Raises:
        NotKnown: the list, or one of them, is not known yet.
        TypeError: it is no list.
    """
    spec = pod(resource)
    found = []
    for name in ("initContainers", "containers") if init else ("containers",):
        several = get(spec, name) or []
        if not isinstance(several, list):
            raise TypeError(name)
        found += [get(several, n) for n in range(len(several))]
    return found


_HOLD = (
    "containers",
    "initContainers",
    "container",
    "steps",
    "script",
    "sidecars",
)  # also those of Argo's and Tekton's


def held_containers(value: Any) -> Iterator[Mapping[str, Any]]:
    """The containers anywhere in an object of a kind that is not Kubernetes' own, as far as they are known and name an image."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, Mapping):
            for key, inner in one.items():
                several = inner if isinstance(inner, list) else [inner]
                if key in _HOLD:
                    yield from (c for c in several if isinstance(c, Mapping) and c.get("image"))
                todo.append(inner)
        elif isinstance(one, list):
            todo += one


def named(container: Mapping[str, Any]) -> str:
    name = container.get("name")
    return f"container {'?' if name is UNKNOWN or not name else name!r}"


def annotation(resource: Resource, name: str) -> str | None:
    """An annotation of the object or, where it has none of that name, of its pods."""
    value = get(resource.props, "metadata", "annotations", name)
    if value is None and is_workload(resource) and template_path(resource):
        value = get(resource.props, *template_path(resource), "metadata", "annotations", name)
    return None if value is None else str(value)


def own_annotation(resource: Resource, name: str) -> str | None:
    """An annotation of the object itself, as Pulumi's provider reads it."""
    value = get(resource.props, "metadata", "annotations", name)
    return None if value is None else str(value)


def label(resource: Resource, name: str) -> str | None:
    """A label of the object or, where it has none of that name, of its pods."""
    value = get(resource.props, "metadata", "labels", name)
    if value is None and is_workload(resource) and template_path(resource):
        value = get(resource.props, *template_path(resource), "metadata", "labels", name)
    return None if value is None else str(value)


class Place(NamedTuple):
    """A cluster and a namespace there: only what is in one place belongs together.

    Args:
        cluster: its provider's kubeconfig, context and cluster; None for the cluster that the environment names.
        namespace: its name, or whose output it is.
        sure: whether all of that is known: else it may be any place that does not differ in what is.
    """

    cluster: tuple[Any, ...] | None
    namespace: str
    sure: bool = True

    def may_be(self, other: Place) -> bool:
        """Whether the two may be one, as far as is known."""
        if self.sure and other.sure:
            return self == other
        return may_be_cluster(self.cluster, other.cluster) and (
            self.namespace == other.namespace or "?" in (self.namespace[:1], other.namespace[:1])
        )


def may_be_cluster(one: tuple[Any, ...] | None, other: tuple[Any, ...] | None) -> bool:
    if one is None or other is None:
        unknown = [value for value in one or other or () if isinstance(value, _Later)]
        return one == other or bool(unknown)
    return all(a == b or isinstance(a, _Later) or isinstance(b, _Later) for a, b in zip(one, other, strict=True))


class _Later(NamedTuple):
    """A property of a provider that is not known yet: that of one provider is only its own."""

    of: str


def place(resource: Resource) -> Place:
    """Where a resource goes."""
    to, default = _of_provider(resource.provider)
    sure = not any(isinstance(value, _Later) for value in to or ())
    try:
        namespace = get(resource.props, "metadata", "namespace") or default or "default"
    except NotKnown:
        namespace = UNKNOWN
    if namespace is UNKNOWN:
        # Objects that have it from one and the same resource are in one namespace.
        return Place(to, "?" + ",".join(sorted(resource.property_dependencies.get("metadata", ()))), False)
    return Place(to, str(namespace), sure)


def cluster(resource: Resource) -> tuple[Any, ...] | None:
    """What its provider goes to, None for the cluster that the environment names."""
    return _of_provider(resource.provider)[0]


@lru_cache
def _of_provider(provider: Provider | None) -> tuple[tuple[Any, ...] | None, Any]:
    """Which cluster a provider goes to, and which namespace it gives to what has none."""
    if provider is None:
        return None, None
    given = [provider.props.get(name) for name in ("kubeconfig", "context", "cluster")]
    told = tuple(_Later(provider.urn) if value is UNKNOWN else repr(value) for value in given)
    return (told if any(value is not None for value in given) else None), provider.props.get("namespace")


_Item = TypeVar("_Item")


class Nearby(Generic[_Item]):
    """Things by place and key: those that are in a place, and those of which it is not known."""

    def __init__(self) -> None:
        self._by: dict[Hashable, dict[Place, list[_Item]]] = {}
        self._unsure: set[Place] = set()

    def __bool__(self) -> bool:
        return bool(self._by)

    def add(self, where: Place, key: Hashable, item: _Item) -> None:
        self._by.setdefault(key, {}).setdefault(where, []).append(item)
        if not where.sure:
            self._unsure.add(where)

    def at(self, where: Place, *keys: Hashable) -> list[_Item]:
        """What is there."""
        return [item for key in keys for item in self._by.get(key, {}).get(where, ())]

    def perhaps(self, where: Place, *keys: Hashable) -> list[_Item]:
        """What may be there, and is not known to."""
        found: list[_Item] = []
        for by in (self._by.get(key, {}) for key in keys) if self._unsure or not where.sure else ():
            others: Iterable[Place] = (self._unsure & by.keys()) if where.sure else by
            found += [item for other in others if other != where and other.may_be(where) for item in by[other]]
        return found

    def nearest(self, where: Place, *keys: Hashable) -> list[_Item]:
        """What is there or, where nothing is, what may be."""
        return self.at(where, *keys) or self.perhaps(where, *keys)


def object_name(resource: Resource) -> str | None:
    name = get(resource.props, "metadata", "name")
    return None if name is None else str(name)


def known(mapping: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """A mapping all of whose values are known.

    Raises:
        NotKnown: one is not.
    """
    for key in mapping:
        try:
            get(mapping, key)
        except NotKnown:
            raise NotKnown(f"{path}.{key}") from None
    return mapping


def selector(resource: Resource) -> Mapping[str, Any] | None:
    """The selector by which an object finds pods, as a LabelSelector; None for an object that selects none."""
    if kind(resource) in ("Service", "ReplicationController"):
        labels = get(resource.props, "spec", "selector")
        return {"matchLabels": known(labels, "spec.selector")} if labels else None
    if kind(resource) in (*_SERVING, "PodDisruptionBudget") or _has_others_template(resource):
        found: Mapping[str, Any] | None = get(resource.props, "spec", "selector")
        return found
    return None


def is_headless(service: Resource) -> bool:
    """Whether it gives the addresses of its pods rather than one of its own."""
    return bool(get(service.props, "spec", "clusterIP") == "None")


def matches(select: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects a pod with these labels.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
    """
    wanted = known(get(select, "matchLabels") or {}, "matchLabels")
    if any(labels.get(k) != v for k, v in wanted.items()):
        return False
    for e in get(select, "matchExpressions") or ():
        value, values = labels.get(get(e, "key")), get(e, "values") or ()
        operator = get(e, "operator")
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds.get(str(operator), True):
            return False
    return True


def await_seconds(resource: Resource, phase: str) -> float:
    """How long Pulumi waits for the object: its custom timeout, else its annotation if that is an integer, else the provider's own.

    https://github.com/pulumi/pulumi-kubernetes/blob/master/provider/pkg/metadata/overrides.go : TimeoutDuration, of
    which only the object's own annotations count, not those of its pods.
    """
    if resource.timeouts.get(phase):
        return float(resource.timeouts[phase])
    given = get(resource.props, "metadata", "annotations", TIMEOUT)
    return float(given) if re.fullmatch(r"[+-]?[0-9]+", str(given)) else AWAIT_SECONDS


def shortest_await(resource: Resource, *phases: str) -> tuple[float, str]:
    """The least of those seconds, and its phase."""
    return min((await_seconds(resource, phase), phase) for phase in phases)


def wait_for(resource: Resource, phase: str, seconds: float) -> str:
    """What to write so that Pulumi waits so long: the annotation does nothing beside a custom timeout."""
    if resource.timeouts.get(phase):
        return f"Set {phase} of its CustomTimeouts to '{seconds:.0f}s', or leave it out and annotate {TIMEOUT}"
    return f"Annotate {TIMEOUT}: '{seconds:.0f}'"
