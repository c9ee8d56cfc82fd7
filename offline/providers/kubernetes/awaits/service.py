"""Services: endpoints that have settled, an address from the load balancer. Ingresses: an address."""

from __future__ import annotations

import time

from ..client import Object
from ..informers import Event
from ..metadata import name_of, namespace_of
from .base import Await, collection

SETTLE = 10.0  # seconds after a change of the endpoints


def _balanced(o: Object) -> bool:
    return bool((((o.get("status") or {}).get("loadBalancer")) or {}).get("ingress"))


class ServiceReady(Await):
    watches = ("v1/endpoints",)

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._settles: list[float] = []  # when each change of the endpoints counts as settled
        self._settled = False
        self._type = self.object["spec"].get("type", "ClusterIP")
        self._ready = self._targets = self._pending = False
        self._waits = (
            self._type != "ExternalName"
            and self.object["spec"].get("clusterIP") != "None"
            and bool(self.object["spec"].get("selector"))
        )
        self.say("info", "[1/3] Finding Pods to direct traffic to")

    def on_object(self, o: Object) -> None:
        self.object = o
        self._ready = self._type != "LoadBalancer" or _balanced(o)

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
            return self._ready
        while self._settles and self._settles[0] <= time.monotonic():
            self._settles.pop(0)
            self._settled = True
        if self._ready and self._settled and not self._pending:
            self.say("info", "Service initialization complete")
            return True
        if self._settled and self._targets:
            self.say("info", "[2/3] Attempting to allocate IP address to Service")
        return False

    def settled_late(self) -> bool:
        return self._ready and not self._pending

    def reasons(self) -> list[str]:
        out: list[str] = []
        if not self._waits and (self._type == "ExternalName" or self.object["spec"].get("clusterIP") == "None"):
            return out
        if not self._targets:
            out.append(
                "Service does not target any Pods. Selected Pods may not be ready, or field '.spec.selector' may not match labels on any Pods"
            )
        if self._type == "LoadBalancer" and not self._ready:
            out.append("Service was not allocated an IP address; does your cloud provider support this?")
        return out

    def load(self) -> None:
        self.on_object(self.object)
        found = (
            self.client.items(
                collection("v1/endpoints", namespace_of(self.object)), fieldSelector=f"metadata.name={self.name}"
            )
            if self._waits
            else []
        )
        for o in found:
            self.on_related(Event("endpoints", "ADDED", o))
        self._settled, self._settles = True, []


class IngressReady(Await):
    """An address from the controller. (That its backends exist, which the real provider also waits for, is not checked.)"""

    def ready(self) -> bool:
        if _balanced(self.object):
            self.say("info", "Ingress initialization complete")
            return True
        self.say("info", "[2/3] Waiting for update of .status.loadBalancer with hostname/IP")
        return False

    def reasons(self) -> list[str]:
        return (
            []
            if _balanced(self.object)
            else ["Ingress .status.loadBalancer field was not updated with a hostname/IP address."]
        )
