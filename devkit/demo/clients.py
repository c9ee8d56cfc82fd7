"""Clients of the ledger: a pod that sends reads and writes through the Service without a pause, and counts what is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightkube import Client
from lightkube.resources.core_v1 import Pod

from components.pod import container_security, pod_security

NAME = "clients"
RATE = 100  # requests a second; a quarter are writes


class ClientsFailed(Exception):
    """The pod with the traffic ended or went silent, so nothing can be said of lost requests."""


@dataclass(frozen=True)
class Count:
    """Requests sent and lost so far, as the pod last printed it."""

    requests: int
    lost: int

    def since(self, earlier: Count) -> Count:
        return Count(self.requests - earlier.requests, self.lost - earlier.lost)


class Clients:
    """The pod in a stack's namespace.

    Args:
        api: Kubernetes client.
        namespace: of the stack.
        url: of the module's Service.
        image: any image of the sample.
        rate: requests a second.
        also: URLs of other modules that are asked too.
        timeout: seconds after which a request counts as lost.
        run: a name that no other run on this ledger has had; default: the namespace's.
        connections: to keep; 0: a new one for each request.
        name: of the pod.
    """

    def __init__(
        self,
        api: Client,
        namespace: str,
        url: str,
        image: str,
        rate: int = RATE,
        also: Sequence[str] = (),
        timeout: int = 5,
        run: str = "",
        connections: int = 16,
        name: str = NAME,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._pod = _pod(name, namespace, url, image, rate, also, timeout, run or namespace, connections)

    def start(self) -> None:
        """Starts the pod and waits for its first answered requests."""
        self._api.create(self._pod)
        self._wait("answers", lambda lines: any(line.get("answered") for line in lines))

    def count(self) -> Count:
        """What the pod has counted up to now, not up to the last full second before: waits for its next line."""
        seen = len(self._lines())
        lines = self._wait("another line", lambda lines: len(lines) > seen)
        return Count(lines[-1]["requests"], lines[-1]["lost"])

    def stop(self) -> dict[str, Any]:
        """Ends the traffic and returns the pod's final summary."""
        # The process is told to stop and prints its summary; the pod is kept until that has been read.
        self._api.delete(Pod, self._name, namespace=self._namespace, grace_period=30)
        summary: dict[str, Any] = {}
        end = time.monotonic() + 30
        while not summary and time.monotonic() < end:
            summary = next((line for line in self._lines() if line.get("final")), {})
            time.sleep(0.1)
        if not summary:
            raise ClientsFailed("the clients' pod ended without its summary")
        return summary

    def _lines(self) -> list[dict[str, Any]]:
        text = self._api.log(self._name, namespace=self._namespace)
        return [json.loads(line) for line in text if line.strip().endswith("}")]

    def _wait(self, what: str, enough: Any, seconds: float = 60) -> list[dict[str, Any]]:
        end = time.monotonic() + seconds
        while True:
            pod = self._api.get(Pod, self._name, namespace=self._namespace)
            phase = pod.status.phase if pod.status else None
            lines = self._lines() if phase not in (None, "Pending") else []
            if enough(lines):
                return lines
            if phase in ("Failed", "Succeeded") or time.monotonic() > end:
                raise ClientsFailed(f"the clients' pod is {phase} and has not shown {what}: {lines[-3:]}")
            time.sleep(0.1)


def _pod(
    name: str,
    namespace: str,
    url: str,
    image: str,
    rate: int,
    also: Sequence[str],
    timeout: int,
    run: str,
    connections: int,
) -> Pod:
    arguments = ["traffic", "--url", url, "--rate", str(rate), "--run", run, "--json", "--timeout", str(timeout)]
    arguments += ["--connections", str(connections)]
    arguments += [word for each in also for word in ("--also", each)]
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": pod_security(65_532),
        "containers": [
            {
                "name": NAME,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": arguments,
                "resources": {"requests": {"cpu": "150m", "memory": "64Mi"}},
                "securityContext": container_security(),
            }
        ],
    }
    return Pod.from_dict(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    )
