"""The forwarder: passes requests from the operator's Service `gateway` on to our gateway, which is in another namespace.

A Service selects pods of its own namespace only. The forwarder is a Caddy there, of the gateway's image, which the cluster can already pull. One
field of the Service, its selector, moves the traffic to these pods and back.
"""

from __future__ import annotations

from typing import Any

import yaml

from components.pod import container_security, pod_security
from settings import StackSettings

NAME = "gateway-forward"
_LABELS = {"app.kubernetes.io/name": NAME}
_FOLDER = "/gateway"
# After SIGTERM it keeps serving for the delay and answers with `Connection: close`, see `components/caddyfile.py`.
_DELAY, _GRACE = 10, 15
_CADDYFILE = """{{
    admin off
    persist_config off
    auto_https off
    shutdown_delay {delay}s
    grace_period {grace}s
    servers {{
        # X-Forwarded-For is passed on as it came: the gateway behind decides which proxies it trusts.
        trusted_proxies static 0.0.0.0/0 ::/0
    }}
}}

:8080 {{
    log {{
        output stdout
    }}
    @leave vars {{http.shutting_down}} true
    header @leave Connection close
    reverse_proxy {gateway}:8080 {{
        lb_try_duration 5s
        lb_try_interval 100ms
    }}
}}
"""


def forward(wanted: StackSettings) -> str:
    """The objects to apply in the operator's namespace.

    Args:
        wanted: the imported stack, with a gateway.
    """
    gateway = wanted.gateway_module
    assert gateway
    metadata = {"name": NAME, "namespace": wanted.stack, "labels": _LABELS}
    there = f"{gateway}.{wanted.namespace_name}"
    caddyfile = _CADDYFILE.format(delay=_DELAY, grace=_GRACE, gateway=there)
    selector = {"matchLabels": _LABELS}
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Caddyfile": caddyfile}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 2,
                "selector": selector,
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": {"metadata": {"labels": _LABELS}, "spec": _pod(wanted, gateway)},
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {"maxUnavailable": 1, "selector": selector},
        },
    ]
    if wanted.network_policies:
        # The operator's policies admit connections to its own gateway's pods only.
        spec = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": [{}]}
        objects.append(
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
        )
    head = (
        f"# Passes requests to the Service gateway of namespace {wanted.stack} on to {there}; see docs/operator.md.\n"
    )
    return head + yaml.dump_all(objects, Dumper=_Plain, sort_keys=False, width=120)


def _pod(wanted: StackSettings, gateway: str) -> dict[str, Any]:
    arguments = ["run", "--config", f"{_FOLDER}/Caddyfile", "--adapter", "caddyfile"]
    secrets = [{"name": name} for name in wanted.pull_secrets(gateway)]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _DELAY + _GRACE + 5,
        "securityContext": pod_security(65_532),
        **({"imagePullSecrets": secrets} if secrets else {}),
        "containers": [
            {
                "name": NAME,
                "image": wanted.image(gateway),
                "imagePullPolicy": "IfNotPresent",
                # As the operator starts it, whatever the image's entry point is.
                "command": ["/usr/bin/caddy"],
                "args": arguments,
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
                "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 5},
                "resources": wanted.modules[gateway].resources.model_dump(),
                "securityContext": container_security(),
                "volumeMounts": [
                    {"name": "gateway", "mountPath": _FOLDER, "readOnly": True},
                    {"name": "data", "mountPath": "/data"},
                ],
            }
        ],
        "volumes": [
            {"name": "gateway", "configMap": {"name": NAME}},
            {"name": "data", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }


class _Plain(yaml.SafeDumper):
    """No anchors; multi-line strings as blocks."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)
