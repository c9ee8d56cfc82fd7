"""Watches shared by all waiting calls: one list and one stream for a kind in a namespace, however many wait for it."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Literal

from .client import ApiError, Client, Unreachable
from .kinds import Object


@dataclass(frozen=True)
class Event:
    """A change of an object. ``source`` is the plural of its kind, e.g. ``pods``."""

    source: str
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object


Feed = queue.SimpleQueue[Event]


class Informer(threading.Thread):
    def __init__(self, client: Client, path: str) -> None:
        super().__init__(name=f"watch {path}", daemon=True)
        self._client, self._path, self._source = client, path, path.rsplit("/", 1)[1]
        self._objects: dict[str, Object] = {}  # by uid
        self._feeds: list[Feed] = []
        self._lock = threading.Lock()
        self.synced = threading.Event()
        self.error: Exception | None = None

    def subscribe(self, feed: Feed) -> None:
        """Sends the objects as they are, then every change."""
        with self._lock:
            for o in self._objects.values():
                feed.put(Event(self._source, "ADDED", o))
            self._feeds.append(feed)

    def unsubscribe(self, feed: Feed) -> None:
        with self._lock:
            self._feeds = [f for f in self._feeds if f is not feed]

    def _set(self, o: Object) -> None:
        uid = o["metadata"]["uid"]
        known = self._objects.get(uid)
        if known and known["metadata"]["resourceVersion"] == o["metadata"]["resourceVersion"]:
            return
        self._objects[uid] = o
        self._send(Event(self._source, "MODIFIED" if known else "ADDED", o))

    def _send(self, event: Event) -> None:
        for feed in self._feeds:
            feed.put(event)

    def run(self) -> None:
        pause = threading.Event()
        delay, version = 0.1, ""
        while not self._client.closed:
            try:
                version = version or self._list()
                self.error = None
                self.synced.set()
                delay = 0.1
                for line in self._client.watch(self._path, version):
                    version = self._handle(line)
            except (
                ApiError
            ) as e:  # 410 Gone: the version is too old, list again; anything else may be a missing permission
                version, self.error = "", e
            except Unreachable as e:
                self.error = e
            if self.error:
                self.synced.set()  # a waiting call goes on with what it gets
                pause.wait(delay)
                delay = min(delay * 2, 5)

    def _list(self) -> str:
        answer = self._client.get(self._path)
        kind, api_version = str(answer.get("kind", "")).removesuffix("List"), answer.get("apiVersion")
        items = {
            o["metadata"]["uid"]: {"apiVersion": api_version, "kind": kind, **o} for o in answer.get("items") or []
        }
        with self._lock:
            for uid in self._objects.keys() - items.keys():
                self._send(Event(self._source, "DELETED", self._objects.pop(uid)))
            for o in items.values():
                self._set(o)
        return str(answer["metadata"]["resourceVersion"])

    def _handle(self, line: Object) -> str:
        o = line["object"]
        if line["type"] == "ERROR":
            raise ApiError(o.get("code", 410), o)
        if line["type"] != "BOOKMARK":
            with self._lock:
                if line["type"] == "DELETED":
                    self._objects.pop(o["metadata"]["uid"], None)
                    self._send(Event(self._source, "DELETED", o))
                else:
                    self._set(o)
        return str(o["metadata"]["resourceVersion"])


class Informers:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._all: dict[str, Informer] = {}
        self._lock = threading.Lock()

    def subscribe(self, feed: Feed, path: str) -> Informer:
        """Adds a collection to a feed; returns once what exists is in it."""
        with self._lock:
            informer = self._all.get(path)
            if informer is None:
                informer = self._all[path] = Informer(self._client, path)
                informer.start()
        informer.synced.wait(10)
        informer.subscribe(feed)
        return informer

    def close(self) -> None:
        for informer in self._all.values():
            informer.join(2)
