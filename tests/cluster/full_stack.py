"""A stack of ten modules, one of every kind, with what they stand on: a broker, and Secrets that others keep."""

from __future__ import annotations

from typing import Any

import yaml
from lightkube import Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Namespace, Pod, Secret, Service

from components.pod import container_security, pod_security
from devkit.demo import clients
from devkit.tools import build
from devkit.workspace import Workspace
from tests.cluster.stacks import Stack, wait_for

CADDY = [f"{build.CADDY.version().removeprefix('v')}{suffix}" for suffix in ("-rc.1", "-rc.2", "")]
NATS = build.NATS.version().removeprefix("v")
DATABASES = ("auth", "ledger", "orchestration", "payments", "reconciliation", "transactionplane", "webhooks")
MODULES = (*DATABASES, "stargate", "wallets")
ROUTED = (*DATABASES, "wallets")
WORKERS = ("ledger-worker", "payments-worker", "transactionplane-worker")
CLIENTS = ("orchestration", "reconciliation", "transactionplane", "wallets")
# What the sample is told of the stack it is in; see devkit/sample/strict.py.
FEATURES = "gateway,auth,broker,traces"
HOST = "stack.example.org"
_CREDENTIALS = ("encryption", "signing", "delegated", "tunnel")

OWN: dict[str, dict[str, Any]] = {
    "payments": {"encryptionKey": {"name": "credentials", "key": "encryption"}},
    "auth": {
        "signingKey": {"name": "credentials", "key": "signing"},
        "delegatedOidc": {
            "issuer": "https://login.example.org",
            "clientId": "rollout",
            "clientSecret": {"name": "credentials", "key": "delegated"},
        },
    },
    "stargate": {
        "serverUrl": "stargate.example.org:443",
        "organizationId": "organization",
        "stackId": "stack",
        "auth": {
            "clientId": "tunnel",
            "clientSecret": {"name": "credentials", "key": "tunnel"},
            "issuer": "https://login.example.org",
        },
    },
}


def versions(modules: str, gateway: str = CADDY[0], **others: str) -> dict[str, str]:
    """The versions file: all modules at one version, but for those that are named."""
    return {**{name: tag(name, modules) for name in MODULES}, "gateway": gateway, **others}


def tag(module: str, version: str) -> str:
    """The tag of the sample in the place of a module, by what it is for all others; see devkit/images/catalogue.py."""
    return version.replace("4.", "2.4", 1) if module == "ledger" else version


class FullStack(Stack):
    """The stack, its namespace and what is in it beforehand."""

    @classmethod
    def make(cls, workspace: Workspace, api: Client) -> FullStack:
        stack = cls(workspace, api, {})
        stack._prepare()
        registry = {f"formancehq/{name}": "module" for name in MODULES} | {"formancehq/gateway": "gateway"}
        workspace.configure(
            {
                "namespace": {"create": False},
                "versions": "versions.yaml",
                "registries": {"ghcr.io": {"endpoint": "localhost/rollout", "images": registry}},
                "defaults": {
                    "replicas": 1,
                    "drainSeconds": 1,
                    "terminationGracePeriodSeconds": 12,
                    "progressDeadlineSeconds": 90,
                    # Seven Jobs with four containers each would come before the seven migrations, and a witness beside each; other
                    # tests have those.
                    "migration": {"activeDeadlineSeconds": 90, "witness": False},
                    "rehearse": "off",
                    "resources": {"requests": {"cpu": "30m", "memory": "32Mi"}},
                },
                "broker": {"uri": "nats://nats:4222", "streams": "stack"},
                "temporal": {"address": "temporal:7233", "namespace": "test"},
                "openTelemetry": {"traces": {"endpoint": "grpc://otel:4317", "insecure": True}},
                "gateway": {"plugins": [], "shutdownSeconds": 3, "ingress": {"hosts": [HOST]}},
                "modules": {name: cls._module(name) for name in MODULES} | {"gateway": {}},
            }
        )
        return stack

    @staticmethod
    def _module(name: str) -> dict[str, Any]:
        strict = {"STRICT": f"{name},{FEATURES}"}
        # Half of the traffic is the ledger's; with a share as small as the others' it would starve while they start.
        share = {"resources": {"requests": {"cpu": "200m"}}} if name == "ledger" else {}
        return {
            **OWN.get(name, {}),
            **share,
            "env": strict,
            **({"migration": {"env": strict}} if name in DATABASES else {}),
        }

    def rollout(self, wanted: dict[str, str], *more: str) -> tuple[int, dict[str, Any]]:
        """Writes the versions file, which is all that a release changes, and rolls it out."""
        (self.workspace.root / "versions.yaml").write_text(yaml.safe_dump(wanted))
        return self.workspace.rollout("up", *more)

    def worker_pods(self, worker: str) -> set[str]:
        """UIDs."""
        pods = self.api.list(Pod, namespace=self.name, labels={"app.kubernetes.io/name": worker})
        return {p.metadata.uid for p in pods}

    def change_secret(self, name: str, key: str, value: str) -> None:
        """As whoever keeps the Secret would."""
        self.api.patch(Secret, name, {"stringData": {key: value}}, namespace=self.name)

    def scale_broker(self, replicas: int) -> None:
        self.api.patch(Deployment, "nats", {"spec": {"replicas": replicas}}, namespace=self.name)
        wait_for("the broker", lambda: self.deployments().get("nats", 0) == replicas)

    def running_clients(self) -> list[str]:
        pods = self.api.list(Pod, namespace=self.name)
        return [p.metadata.name for p in pods if p.metadata.name == clients.NAME]

    def versions_served(self) -> dict[str, str]:
        return {name: self.serving(name) for name in (*MODULES, "gateway")}

    def consumers(self) -> dict[str, list[str]]:
        """The durable consumers of the stack's stream -> subjects, as the broker tells them."""
        base = f"/api/v1/namespaces/{self.name}/services/nats:monitoring/proxy"
        found = self.api._client._client.get(f"{base}/jsz?streams=true&consumers=true&config=true").json()
        [account] = found["account_details"]
        [stream] = (s for s in account["stream_detail"] if s["name"] == self.name)
        return {c["name"]: sorted(c["config"]["filter_subjects"]) for c in stream["consumer_detail"]}

    def _prepare(self) -> None:
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.api.create(Namespace(metadata=ObjectMeta(name=self.name, labels=restricted)))
        secrets = {"credentials": {key: f"{key} of a test" for key in _CREDENTIALS}}
        secrets |= {f"auth-client-{name}": {"secret": f"secret of {name}"} for name in CLIENTS}
        for name, data in secrets.items():
            self.api.create(Secret(metadata=ObjectMeta(name=name, namespace=self.name), stringData=data))
        pod = {
            "automountServiceAccountToken": False,
            "securityContext": pod_security(65_532),
            "volumes": [{"name": "data", "emptyDir": {}}],
            "containers": [
                {
                    "name": "nats",
                    "image": f"localhost/rollout/nats:{NATS}",
                    "imagePullPolicy": "IfNotPresent",
                    "ports": [{"name": "nats", "containerPort": 4222}],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    "readinessProbe": {
                        "httpGet": {"path": "/healthz", "port": 8222},
                        "periodSeconds": 1,
                        "timeoutSeconds": 10,
                        "failureThreshold": 10,
                    },
                    "securityContext": container_security(),
                }
            ],
        }
        labels = {"app": "nats"}
        metadata = {"name": "nats", "namespace": self.name}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}}
        template = {"metadata": {"labels": labels}, "spec": pod}
        self.api.create(Deployment.from_dict({"metadata": metadata, "spec": {**spec, "template": template}}))
        ports = [{"name": "nats", "port": 4222, "targetPort": "nats"}, {"name": "monitoring", "port": 8222}]
        self.api.create(Service.from_dict({"metadata": metadata, "spec": {"selector": labels, "ports": ports}}))
        wait_for("the broker", lambda: self.deployments().get("nats") == 1)
