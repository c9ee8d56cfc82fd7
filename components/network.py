"""Who may connect to the stack's pods. What they connect to themselves is not limited: databases and brokers are anywhere."""

from __future__ import annotations

import pulumi_kubernetes as k8s

from settings import StackSettings

from .names import NAME, OWNER
from .scope import Scope


def declare_network_policies(settings: StackSettings, scope: Scope) -> None:
    """The stack's pods accept connections from each other alone, its gateway from everywhere.

    A kubelet's probes are let through by every network plugin that enforces policies
    (https://kubernetes.io/docs/concepts/services-networking/network-policies/).
    """
    ours = {OWNER: scope.owner.label}
    _policy("within-the-stack", ours, [{"from": [{"podSelector": {"matchLabels": ours}}]}], scope)
    if settings.gateway_module:
        _policy("to-the-gateway", {**ours, NAME: settings.gateway_module}, [{}], scope)


def _policy(name: str, pods: dict[str, str], ingress: list[dict[str, object]], scope: Scope) -> None:
    k8s.networking.v1.NetworkPolicy(
        name,
        metadata=scope.metadata(name),
        spec={"podSelector": {"matchLabels": pods}, "policyTypes": ["Ingress"], "ingress": ingress},
        opts=scope.resource(scope.parent),
    )
