"""Kubernetes objects as Pulumi resources, their fields plain values in Kubernetes' own spelling.

``pulumi_kubernetes`` has a class for each of these, and a type for every value in them. This program writes manifests, so it
has no use for those types, and they cost every run 0.35 s to be defined and every resource 2 ms to be looked through: of a
hundred modules, 2 s of 4.5 (``python -m benchmarks.noop``). What the engine is told is the same; a test compares.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pulumi


class _Object(pulumi.CustomResource):
    """One object.

    Args:
        name: in Pulumi's state.
        opts: the provider among them.
        fields: of the manifest, but for apiVersion and kind.
    """

    api_version: ClassVar[str] = "v1"

    def __init__(self, name: str, opts: pulumi.ResourceOptions, **fields: Any) -> None:
        kind, group = type(self).__name__, self.api_version if "/" in self.api_version else f"core/{self.api_version}"
        properties = {"apiVersion": self.api_version, "kind": kind, **fields}
        super().__init__(f"kubernetes:{group}:{kind}", name, properties, opts)


class ConfigMap(_Object): ...


class Namespace(_Object): ...


class Service(_Object): ...


class ServiceAccount(_Object): ...


class Secret(_Object):
    def __init__(self, name: str, opts: pulumi.ResourceOptions, *, stringData: Any, **fields: Any) -> None:
        # Secret in the state whatever the values are, and also where the API server gives them back as `data`.
        opts = pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(additional_secret_outputs=["data", "stringData"])
        )
        super().__init__(name, opts, stringData=pulumi.Output.secret(stringData), **fields)


class Deployment(_Object):
    api_version = "apps/v1"


class Job(_Object):
    api_version = "batch/v1"


class PodDisruptionBudget(_Object):
    api_version = "policy/v1"


class Ingress(_Object):
    api_version = "networking.k8s.io/v1"


class NetworkPolicy(_Object):
    api_version = "networking.k8s.io/v1"


class HorizontalPodAutoscaler(_Object):
    api_version = "autoscaling/v2"
