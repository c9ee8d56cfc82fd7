"""StatefulSets: every replica ready and on the newest revision."""

from __future__ import annotations

from ..informers import Event
from ..kinds import Object
from ..metadata import name_of, namespace_of
from . import pod
from .base import Await, collection, label_selector, owned_by


class StatefulSetReady(Await):
    watches = ("v1/pods",)
    report_every = 10.0

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._revision_ready = self._replicas_ready = False
        self._generation = self._have = self._wanted = 0
        self._current = self._update = ""
        self._pods: dict[str, Object] = {}

    def on_object(self, o: Object) -> None:
        self.object = o
        self._revision_ready = self._replicas_ready = False
        status, self._generation = o.get("status") or {}, o["metadata"].get("generation", 0)
        if status.get("observedGeneration", 0) < self._generation:
            return
        self._current, self._update = status.get("currentRevision", ""), status.get("updateRevision", "")
        self._wanted = o["spec"].get("replicas", 1)
        total, ready, current, updated = (
            status.get(k, 0) for k in ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas")
        )
        if self._generation > 1 and (o["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
            self._revision_ready = True
            self._replicas_ready = self._wanted == total == ready
        else:
            self._revision_ready = bool(self._current) and self._current == self._update
            self._replicas_ready = self._wanted == total == ready == current
        self._have = ready if self._revision_ready else min(ready, updated)  # in a rollout only the new ones count

    def on_related(self, event: Event) -> None:
        if event.source == "pods" and owned_by(event.object, self.uid):
            self._pods.pop(name_of(event.object), None)
            if event.type != "DELETED":
                self._pods[name_of(event.object)] = event.object

    def ready(self) -> bool:
        if self._replicas_ready and self._revision_ready:
            self.say("info", "StatefulSet initialization complete")
            return True
        if self._generation <= 1:
            self.say("info", f"[1/2] Waiting for StatefulSet to create Pods ({self._have}/{self._wanted} Pods ready)")
        elif not self._replicas_ready:
            self.say(
                "info", f"[1/3] Waiting for StatefulSet update to roll out ({self._have}/{self._wanted} Pods ready)"
            )
        else:
            self.say("info", "[2/3] Waiting for StatefulSet to update .status.currentRevision")
        return False

    def _warnings(self) -> list[str]:
        return [w for w in (pod.check(p)[2] for p in self._pods.values()) if w]

    def report(self) -> None:
        for w in self._warnings():
            self.say("warning", w)

    def reasons(self) -> list[str]:
        out = []
        if not self._replicas_ready:
            out.append(f"{self._have} out of {self._wanted} replicas succeeded readiness checks")
        if not self._revision_ready:
            out.append(
                f'StatefulSet controller failed to advance from revision "{self._current}" to revision "{self._update}"'
            )
        return out + self._warnings()

    def load(self) -> None:
        if not self.ready():
            for o in self.client.items(
                collection("v1/pods", namespace_of(self.object)), labelSelector=label_selector(self.object)
            ):
                self.on_related(Event("pods", "ADDED", o))
