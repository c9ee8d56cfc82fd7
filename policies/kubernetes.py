"""Kubernetes objects as the rules read them: pods, containers, selectors, how long they are waited for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

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
# Where a container says what is run in it, or asked of it, beside its command.
HOOKS = (
    ("livenessProbe",),
    ("readinessProbe",),
    ("startupProbe",),
    ("lifecycle", "postStart"),
    ("lifecycle", "preStop"),
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


def named(container: Mapping[str, Any]) -> str:
    return f"container {get(container, 'name') or '?'!r}"


def annotation(resource: Resource, name: str) -> str | None:
    """An annotation of the object or, where it has none of that name, of its pods."""
    value = get(resource.props, "metadata", "annotations", name)
    if value is None and is_workload(resource) and template_path(resource):
        value = get(resource.props, *template_path(resource), "metadata", "annotations", name)
    return None if value is None else str(value)


def label(resource: Resource, name: str) -> str | None:
    """A label of the object or, where it has none of that name, of its pods."""
    value = get(resource.props, "metadata", "labels", name)
    if value is None and is_workload(resource) and template_path(resource):
        value = get(resource.props, *template_path(resource), "metadata", "labels", name)
    return None if value is None else str(value)


def place(resource: Resource) -> str:
    """Its cluster and its namespace there: only what is in one place belongs together."""
    namespace = get(resource.props, "metadata", "namespace") or _of_provider(resource.provider)[1]
    return f"{cluster(resource)}/{namespace or 'default'}"


def cluster(resource: Resource) -> str:
    """What its provider goes to, empty for the cluster that the environment names."""
    return _of_provider(resource.provider)[0]


@lru_cache
def _of_provider(provider: Provider | None) -> tuple[str, str | None]:
    """Which cluster a provider goes to, and which namespace it gives to what has none."""
    if provider is None:
        return "", None
    given = [provider.props.get(name) for name in ("kubeconfig", "context", "cluster")]
    told = provider.urn if UNKNOWN in given else repr(given)
    return (told if any(value is not None for value in given) else ""), get(provider.props, "namespace")


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
