"""Deployments: the controller saw the change, its ReplicaSet has every pod ready, the Deployment is available."""

from __future__ import annotations

from ..informers import Event
from ..kinds import Object
from ..metadata import name_of, namespace_of
from . import pod
from .base import Await, collection, conditions, label_selector, owned_by

REVISION = "deployment.kubernetes.io/revision"


def _revision(o: Object) -> str:
    return str((o["metadata"].get("annotations") or {}).get(REVISION, ""))


class DeploymentReady(Await):
    watches = ("apps/v1/replicasets", "v1/pods")
    report_every = 10.0

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._seen = self._available = self._progressed = self._rolled_out = False
        self._problems: dict[str, str] = {}
        self._sets: dict[str, Object] = {}  # by revision
        self._pods: dict[str, Object] = {}  # by name

    def on_object(self, o: Object) -> None:
        self.object = o
        self._seen = self._seen or (o.get("status") or {}).get("observedGeneration") == o["metadata"]["generation"]
        if not self._seen:
            return
        self._problems = {}
        if not _revision(o):  # no ReplicaSet yet
            return
        found = conditions(o)
        for kind in ("Progressing", "Available"):
            c = found.get(kind, {})
            true = c.get("status") == "True"
            if kind == "Progressing" and c:
                self._progressed = true and c.get("reason") == "NewReplicaSetAvailable"
            elif c:
                self._available = true
            if c and not true and c.get("reason") and c.get("message"):
                self._problems[c["reason"]] = f"[{c['reason']}] {c['message']}"
                self.say("warning", self._problems[c["reason"]])
        if found:
            self._check_set()

    def on_related(self, event: Event) -> None:
        o, gone = event.object, event.type == "DELETED"
        if event.source == "replicasets" and owned_by(o, self.uid):
            if gone:
                self._sets.pop(_revision(o), None)
            else:
                self._sets[_revision(o)] = o
                self._check_set()
        elif event.source == "pods" and any(
            r.get("kind") == "ReplicaSet" for r in o["metadata"].get("ownerReferences") or []
        ):
            if gone:
                self._pods.pop(name_of(o), None)
            else:
                self._pods[name_of(o)] = o

    def _check_set(self) -> None:
        revision = _revision(self.object)
        current = self._sets.get(revision)
        if not self._seen or current is None:
            return
        wanted = max(
            current["spec"].get("replicas", 1), self.object["spec"].get("replicas", 1)
        )  # the two events race after scaling
        have = (current.get("status") or {}).get("readyReplicas", 0)
        self._rolled_out = have >= wanted
        if not self._rolled_out:
            self.say("info", f"Waiting for app ReplicaSet to be available ({have}/{wanted} Pods available)")
        elif wanted == 0:
            self.say("warning", f'Replicas scaled to 0 for Deployment "{self.name}"')

    def ready(self) -> bool:
        first = _revision(self.object) == "1"  # a first ReplicaSet is created, not rolled out to
        if self._seen and self._available and self._rolled_out and (first or self._progressed):
            self.say("info", "Deployment initialization complete")
            return True
        return False

    def _pod_warnings(self) -> list[str]:
        current = self._sets.get(_revision(self.object))
        uid = current["metadata"]["uid"] if current else ""
        warnings = [pod.check(p)[2] for p in self._pods.values() if owned_by(p, uid)]
        return [w for w in warnings if w]

    def report(self) -> None:
        for w in self._pod_warnings():
            self.say("warning", w)

    def reasons(self) -> list[str]:
        out = list(self._problems.values())
        first = _revision(self.object) == "1"
        if not self._available:
            out.append("Minimum number of live Pods was not attained")
        elif not (self._rolled_out if first else self._progressed):
            out.append("Minimum number of Pods to consider the application live was not attained")
        elif not self._rolled_out:
            out.append("Attempted to roll forward to new ReplicaSet, but minimum number of Pods did not become live")
        return out + self._pod_warnings()

    def load(self) -> None:
        self._seen = True
        namespace, query = namespace_of(self.object), label_selector(self.object)
        for o in self.client.items(collection("apps/v1/replicasets", namespace), labelSelector=query):
            self.on_related(Event("replicasets", "ADDED", o))
        self.on_object(self.object)
        if not self.ready():
            for o in self.client.items(collection("v1/pods", namespace), labelSelector=query):
                self.on_related(Event("pods", "ADDED", o))
