"""Services: endpoints that have settled."""

from __future__ import annotations

import time

from ..informers import Event
from ..metadata import name_of, namespace_of
from .base import Await, collection

SETTLE = 10.0  # seconds after a change of the endpoints


class ServiceReady(Await):
    watches = ("v1/endpoints",)

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._settles: list[float] = []  # when each change of the endpoints counts as settled
        self._settled = False
        self._targets = self._pending = False
        spec = self.object["spec"]
        # Nothing is waited for where no endpoints are to be expected; their absence is told where there is a cluster IP.
        self._balances = spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None"
        self._waits = self._balances and bool(spec.get("selector"))
        self.say("info", "[1/3] Finding Pods to direct traffic to")

    def on_related(self, event: Event) -> None:
        if event.source != "endpoints" or name_of(event.object) != self.name:
            return
        self._settled = False
        self._settles.append(time.monotonic() + SETTLE)
        subsets = [] if event.type == "DELETED" else event.object.get("subsets") or []
        self._targets = any(s.get("addresses") for s in subsets)
        self._pending = any(s.get("notReadyAddresses") for s in subsets)

    def ready(self) -> bool:
        if not self._waits:
            return True
        while self._settles and self._settles[0] <= time.monotonic():
            self._settles.pop(0)
            self._settled = True
        if self._settled and not self._pending:
            self.say("info", "Service initialization complete")
            return True
        if self._settled and self._targets:
            self.say("info", "[2/3] Attempting to allocate IP address to Service")
        return False

    def settled_late(self) -> bool:
        return not self._pending

    def reasons(self) -> list[str]:
        if self._targets or not self._balances:
            return []
        return [
            "Service does not target any Pods. Selected Pods may not be ready, or field '.spec.selector' may not match labels on any Pods"
        ]

    def load(self) -> None:
        if self._waits:
            path = collection("v1/endpoints", namespace_of(self.object))
            for o in self.client.items(path, fieldSelector=f"metadata.name={self.name}"):
                self.on_related(Event("endpoints", "ADDED", o))
        self._settled, self._settles = True, []
