"""Waiting for an object: the loop that feeds watch events to a condition until it holds, fails, or time is up."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from offline.engine.provider import Log, Severity

from ..client import ApiError, Client, Unreachable
from ..informers import Event, Feed, Informers
from ..kinds import Object, Resource
from ..metadata import name_of, namespace_of

CANCEL_POLL = 0.1  # seconds until a Ctrl-C is noticed by a call that waits


class NotReady(Exception):
    """The object exists but is not ready. ``reasons`` say why, the last seen object goes to the state."""

    def __init__(self, text: str, reasons: Sequence[str], o: Object) -> None:
        super().__init__(text)
        self.reasons, self.object = list(reasons), o


class Status:
    """Progress of one call; every message once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._said: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def __call__(self, severity: Severity, text: str) -> None:
        with self._lock:
            if (severity, text) in self._said:
                return
            self._said.add((severity, text))
        self._log(severity, text, True)


class Await:
    """A condition over an object and others that belong to it.

    Args:
        o: the object as the create or update returned it.
        before: the object before an update, None after a create.
    """

    watches: tuple[str, ...] = ()  # collections beside the object's own, e.g. "v1/pods"
    by_inactivity = False  # whether every event starts the timeout anew
    report_every = 0.0  # seconds between calls of report()

    def __init__(self, o: Object, before: Object | None, say: Status, client: Client) -> None:
        self.object, self.before, self.say, self.client = o, before, say, client
        self.uid = o["metadata"]["uid"]
        self.name = name_of(o)

    def on_object(self, o: Object) -> None:
        self.object = o

    def on_related(self, event: Event) -> None: ...

    def report(self) -> None: ...

    def ready(self) -> bool:
        raise NotImplementedError

    def settled_late(self) -> bool:
        """Whether to count as ready when time is up or the user cancels."""
        return False

    def reasons(self) -> list[str]:
        return []

    def load(self) -> None:
        """For a read: fetches what belongs to the object, once, instead of watching it."""

    def failed(self) -> NotReady:
        return NotReady(f"Resource '{self.name}' was created but failed to initialize", self.reasons(), self.object)


def owned_by(o: Object, uid: str) -> bool:
    return any(r.get("uid") == uid for r in o["metadata"].get("ownerReferences") or [])


def conditions(o: Object) -> dict[str, dict[str, Any]]:
    return {c.get("type", ""): c for c in (o.get("status") or {}).get("conditions") or []}


def collection(path: str, namespace: str) -> str:
    """``apps/v1/replicasets`` in a namespace."""
    version, _, plural = path.rpartition("/")
    return Resource(version, plural, True).collection(namespace)


def label_selector(o: Object) -> str:
    """``spec.selector`` as a query."""
    selector = (o.get("spec") or {}).get("selector") or {}
    parts = [f"{k}={v}" for k, v in (selector.get("matchLabels") or {}).items()]
    for e in selector.get("matchExpressions") or []:
        key, values = e["key"], ",".join(e.get("values") or [])
        parts.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[e["operator"]]
        )
    return ",".join(parts)


def _log_event(event: Event, uid: str, say: Status) -> None:
    o = event.object
    if (o.get("involvedObject") or {}).get("uid") == uid and event.type != "DELETED":
        say("warning" if o.get("type") == "Warning" else "debug", f"{o.get('reason', '')}: {o.get('message', '')}")


class _Subscription:
    """A feed of the collections a call needs, in this order."""

    def __init__(self, informers: Informers, paths: Sequence[str]) -> None:
        self.feed: Feed = queue.SimpleQueue()
        self._informers = [informers.subscribe(self.feed, p) for p in dict.fromkeys(paths)]

    def __enter__(self) -> Feed:
        return self.feed

    def __exit__(self, *_: object) -> None:
        for i in self._informers:
            i.unsubscribe(self.feed)


def until(
    condition: Await,
    resource: Resource,
    informers: Informers,
    cancel: threading.Event,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> Object:
    """Waits for a condition.

    Args:
        timeout: seconds.

    Returns: the object as it was when the condition held.
    Raises: NotReady.
    """
    namespace = namespace_of(condition.object)
    paths = [resource.collection(namespace), *(collection(w, namespace) for w in condition.watches)]
    if namespace:
        paths.append(collection("v1/events", namespace))
    with _Subscription(informers, paths) as feed:
        end, next_report = clock() + timeout, clock() + (condition.report_every or timeout)
        while not condition.ready():
            late = clock() >= end
            if late or cancel.is_set():
                if condition.settled_late():
                    break
                text = (
                    f"'{condition.name}' timed out waiting to be Ready"
                    if late
                    else f'Resource operation was cancelled for "{condition.name}"'
                )
                raise NotReady(text, condition.reasons(), condition.object)
            if clock() >= next_report:
                next_report = clock() + condition.report_every
                condition.report()
            try:
                event = feed.get(timeout=max(0.001, min(CANCEL_POLL, end - clock(), next_report - clock())))
            except queue.Empty:
                continue
            if event.source == "events":
                _log_event(event, condition.uid, condition.say)
            elif event.source == resource.plural and event.object["metadata"]["uid"] == condition.uid:
                # An event from before our own write says nothing about it.
                if event.type != "DELETED" and event.object["metadata"].get("generation", 0) >= condition.object[
                    "metadata"
                ].get("generation", 0):
                    condition.on_object(event.object)
                    end = clock() + timeout if condition.by_inactivity else end
            elif event.source != resource.plural:
                condition.on_related(event)
        return condition.object


def until_gone(
    o: Object,
    resource: Resource,
    informers: Informers,
    client: Client,
    cancel: threading.Event,
    timeout: float,
    say: Status,
) -> tuple[bool, Object]:
    """Waits until an object is deleted.

    Returns: whether it is, and the object as last seen.
    """
    namespace, uid = namespace_of(o), o["metadata"]["uid"]
    paths = [resource.collection(namespace)] + ([collection("v1/events", namespace)] if namespace else [])
    end = time.monotonic() + timeout
    with _Subscription(informers, paths) as feed:
        if _is_gone(client, resource, o):  # before the watch began
            return True, o
        _describe(o, say)
        while time.monotonic() < end and not cancel.is_set():
            try:
                event = feed.get(timeout=max(0.001, min(CANCEL_POLL, end - time.monotonic())))
            except queue.Empty:
                continue
            if event.source == "events":
                _log_event(event, uid, say)
            elif event.source == resource.plural and event.object["metadata"]["uid"] == uid:
                if event.type == "DELETED":
                    return True, event.object
                o = event.object
                _describe(o, say)
    return _is_gone(client, resource, o), o


def _describe(o: Object, say: Status) -> None:
    if o["metadata"].get("deletionTimestamp"):
        say("info", "Resource scheduled for deletion")


def _is_gone(client: Client, resource: Resource, o: Object) -> bool:
    try:
        live = client.get(resource.path(namespace_of(o), name_of(o)))
    except ApiError as e:
        return e.not_found
    except Unreachable:
        return False
    return bool(live["metadata"]["uid"] != o["metadata"]["uid"])
