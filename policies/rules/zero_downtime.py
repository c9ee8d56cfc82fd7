"""A Deployment is replaced pod by pod without losing a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..commands import read
from ..kubernetes import (
    AWAIT_SECONDS,
    ROUTES,
    annotation,
    containers,
    is_serving,
    kind,
    named,
    object_name,
    own_annotation,
    pod,
    shortest_await,
    wait_for,
)
from ..migration import DRAINS, SINGLETON, serving
from ..rule import Examples, Finding, Options, ResourceRule, every
from ..values import NotKnown, Resource, get

GRACE_SECONDS = 30.0  # https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
PROGRESS_SECONDS = (
    600.0  # https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#progress-deadline-seconds
)

_PROBED_BY = ("httpGet", "tcpSocket", "grpc", "exec")

PASSES = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger}
spec:
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
        - name: ledger
          image: example.org/ledger:1.1.0
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /_healthcheck, port: 8080}}
          livenessProbe: {httpGet: {path: /_healthcheck, port: 8080}}
          lifecycle: {preStop: {sleep: {seconds: 3}}}
"""
FAILS = PASSES.replace("maxUnavailable: 0", "maxUnavailable: 1")


def _is_singleton(resource: Resource) -> bool:
    return annotation(resource, SINGLETON) == "true"


def _strategy(resource: Resource, options: Options) -> Iterator[Finding]:
    if kind(resource) != "Deployment":
        return
    yield from every(_alone(resource), _kept_up(resource))


def _alone(resource: Resource) -> Iterator[Finding]:
    strategy = resource.get("spec", "strategy", "type") or "RollingUpdate"
    if strategy != "Recreate" and _is_singleton(resource):
        yield Finding(
            f"it is annotated {SINGLETON}, but two versions of it run at once with strategy {strategy}",
            "Set spec.strategy.type: Recreate, or remove the annotation",
        )
    if strategy != "RollingUpdate" and not _is_singleton(resource):
        yield Finding(
            f"its strategy is {strategy}, which stops every pod before a new one starts",
            f"Set RollingUpdate with maxUnavailable: 0; for a worker that must not run twice, annotate {SINGLETON}: 'true'",
        )


def _kept_up(resource: Resource) -> Iterator[Finding]:
    """Also where it is not known whether it is a singleton: that would have no rollingUpdate at all."""
    given = resource.get("spec", "strategy", "rollingUpdate")
    try:
        if (resource.get("spec", "strategy", "type") or "RollingUpdate") != "RollingUpdate" or _is_singleton(resource):
            return
    except NotKnown:
        if not given:
            raise
    unavailable = get(given, "maxUnavailable")
    if unavailable not in (0, "0", "0%"):
        given = (
            "missing, which means 25%"
            if unavailable is None
            else unavailable
            if isinstance(unavailable, str)
            else f"{unavailable:.0f}"
        )
        yield Finding(f"its maxUnavailable is {given}", "Set spec.strategy.rollingUpdate.maxUnavailable: 0")


def _rolled_out(resource: Resource, options: Options) -> Iterator[Finding]:
    if kind(resource) == "Deployment" and resource.get("spec", "paused") is True:
        yield Finding("it is paused, so the new version is never rolled out", "Remove spec.paused")


def _kept(resource: Resource, options: Options) -> Iterator[Finding]:
    kept = is_serving(resource) or kind(resource) in ("Service", *ROUTES)
    if kept and resource.deleted_first and not _is_singleton(resource):
        yield Finding(
            "where it has to be replaced, it is deleted before its successor is made", "Remove deleteBeforeReplace"
        )


def _some_stay(resource: Resource, options: Options) -> Iterator[Finding]:
    """The kinds that have other words for how many pods are replaced at once, and when."""
    what = kind(resource)
    if what in ("StatefulSet", "DaemonSet"):
        if resource.get("spec", "updateStrategy", "type") == "OnDelete":
            yield Finding(
                "its updateStrategy is OnDelete, so an update leaves the old pods and is said to have succeeded",
                "Set spec.updateStrategy.type: RollingUpdate",
            )
        if resource.get("spec", "updateStrategy", "rollingUpdate", "partition"):
            yield Finding(
                "its updateStrategy has a partition, so an update leaves old pods and is said to have succeeded",
                "Remove spec.updateStrategy.rollingUpdate.partition",
            )
    path = {
        "StatefulSet": ("updateStrategy", "rollingUpdate"),
        "DaemonSet": ("updateStrategy", "rollingUpdate"),
        "argoproj.io/Rollout": ("strategy", "canary"),
    }.get(what)
    if path:
        most, replicas = resource.get("spec", *path, "maxUnavailable"), resource.get("spec", "replicas")
        if str(most).strip() == "100%" or (
            isinstance(most, int | float) and isinstance(replicas, int | float) and most >= replicas
        ):
            yield Finding(
                f"its maxUnavailable is {most}, so all its pods may be gone at once",
                f"Set spec.{'.'.join(path)}.maxUnavailable: 1",
            )


def _awaited(resource: Resource, options: Options) -> Iterator[Finding]:
    if kind(resource) != "Deployment":
        return
    if (
        own_annotation(resource, "pulumi.com/skipAwait") == "true"
        or own_annotation(resource, "pulumi.com/waitFor") is not None
    ):
        yield Finding(
            "Pulumi does not wait until it is ready (pulumi.com/skipAwait or waitFor), so its Service would switch and the one before it go at once",
            "Remove the annotation",
        )


def _serving_containers(resource: Resource) -> list[Mapping[str, Any]]:
    """The containers that have ports, and the one that serves by its annotation or its name; other sidecars serve nobody."""
    main, name = serving(resource), str(object_name(resource) or resource.name)
    every = containers(resource, init=False)
    return [c for c in every if get(c, "ports") or c is main or f"{name}-".startswith(f"{get(c, 'name') or '?'}-")]


def _probes(resource: Resource, options: Options) -> Iterator[Finding]:
    if kind(resource) == "Deployment":
        for container in _serving_containers(resource):
            yield from every(
                *(_probed(resource, container, probe) for probe in ("readinessProbe", "livenessProbe")),
                _drains(resource, container),
            )


def _probed(resource: Resource, container: Mapping[str, Any], probe: str) -> Iterator[Finding]:
    # A worker that nobody can ask runs or has ended.
    asked = get(container, "ports") or not _is_singleton(resource)
    if asked and not any(get(container, probe, how) for how in _PROBED_BY):
        yield Finding(f"{named(container)} has no {probe}", f"Add {probe}, such as httpGet of /_healthcheck")
    elif get(container, probe, "exec") and not read({"command": get(container, probe, "exec", "command")}).fails:
        yield Finding(
            f"the {probe} of {named(container)} asks nothing: its command always succeeds",
            "Let it ask what serves, such as httpGet of /_healthcheck",
        )


def _drains(resource: Resource, container: Mapping[str, Any]) -> Iterator[Finding]:
    hook = get(container, "lifecycle", "preStop")
    if (not hook or _sleep(hook) == 0) and not _is_singleton(resource) and annotation(resource, DRAINS) != "itself":
        yield Finding(
            f"{named(container)} has no preStop, so it stops while kube-proxies still send it requests",
            f"Add lifecycle.preStop.sleep.seconds: 3; for a server that goes on when told to stop, annotate {DRAINS}: itself",
        )


def _times(resource: Resource, options: Options) -> Iterator[Finding]:
    """Drain < grace period < await of the deletion; progress deadline below the await of the rollout."""
    if kind(resource) != "Deployment":
        return
    given = get(pod(resource), "terminationGracePeriodSeconds")
    grace = GRACE_SECONDS if given is None else float(given)
    if grace == 0:
        yield Finding(
            "its terminationGracePeriodSeconds is 0, so its pods are killed at once, without their preStop",
            f"Set terminationGracePeriodSeconds above its drain, or remove it, which means {GRACE_SECONDS:.0f}",
        )
        return
    for container in _serving_containers(resource):
        drain = _sleep(get(container, "lifecycle", "preStop"))
        if drain is not None and drain >= grace:
            yield Finding(
                f"{named(container)} drains for {drain:.0f} s, the whole grace period of {grace:.0f} s",
                f"Set terminationGracePeriodSeconds above {drain:.0f}, with time for the process to end",
            )
    wait, phase = shortest_await(resource, "delete")
    if wait <= grace:
        yield Finding(
            f"Pulumi waits {wait:.0f} s for its deletion, and its pods may take {grace:.0f} s to end: the update would fail after the new version serves",
            wait_for(resource, phase, grace + 30),
        )
    progress = float(resource.get("spec", "progressDeadlineSeconds") or PROGRESS_SECONDS)
    wait, phase = shortest_await(resource, "create", "update")
    if wait < progress or (wait == progress and wait != AWAIT_SECONDS):
        yield Finding(
            f"its progressDeadlineSeconds is {progress:.0f}, and Pulumi waits {wait:.0f} s: the cluster's verdict would come too late",
            f"Set spec.progressDeadlineSeconds below {wait:.0f}, or: {wait_for(resource, phase, progress + 60)}",
        )


def _sleep(hook: Any) -> float | None:
    """Seconds of a preStop that only sleeps, None where it does something else."""
    seconds = get(hook, "sleep", "seconds")
    if seconds is not None:
        return float(seconds)
    command = get(hook, "exec", "command") or ()
    last = str(get(command, len(command) - 1) or "").removeprefix("sleep ") if command else ""
    return float(last) if "sleep" in " ".join(str(c) for c in command) and last.isdigit() else None


RULE = ResourceRule(
    name="zero-downtime",
    description="A Deployment keeps every pod until its successor is ready, is probed, drains, and has time to do so.",
    reason="maxUnavailable counts pods that are missing during a rollout; without a readiness probe, or with one that always "
    "succeeds, a pod gets traffic as soon as its process runs; a pod ends before every kube-proxy has heard of it, so it must drain; an await shorter than the grace period fails a good update.",
    unseen="whether a probe asks the right thing, whether the process ends politely, and how long a request may take; of "
    "kinds other than Deployment only what lets all pods go, replaces none, or deletes first",
    severity="high",
    examples=Examples(PASSES, FAILS),
    checks=(_strategy, _rolled_out, _kept, _some_stay, _awaited, _probes, _times),
)
