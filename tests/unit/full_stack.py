"""A full stack, one module of every kind, as its configuration; with a custom module beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import settings
from settings import StackSettings

MODULES: dict[str, Any] = {
    "gateway": {"version": "v2.3.1"},
    "ledger": {"version": "v2.4.12", "experimentalExporters": True, "worker": {"bucketCleanup": {"schedule": "0 3 * * *"}}},
    "payments": {"version": "v3.4.0", "encryptionKey": "canary-encryption"},
    "auth": {
        "version": "v2.5.0",
        "signingKey": {"name": "auth-signing", "key": "key.pem"},
        "delegatedOidc": {"issuer": "https://login.example.org", "clientId": "formance", "clientSecret": "canary-oidc"},
        "clients": {"console": {"public": True, "redirectUris": ["https://console.example.org/callback"]}},
    },
    "orchestration": {"version": "v2.6.0"},
    "reconciliation": {"version": "v2.4.1"},
    "wallets": {"version": "v2.2.0"},
    "webhooks": {"version": "v2.5.3"},
    "transactionplane": {"version": "v0.11.1"},
    "stargate": {
        "version": "v2.1.0",
        "serverUrl": "stargate.example.org:443",
        "organizationId": "organization",
        "stackId": "stack",
        "auth": {"clientId": "stargate", "clientSecret": "canary-tunnel", "issuer": "https://login.example.org"},
    },
    "mcp": {"version": "v0.3.0"},
    "shop": {"image": "ghcr.io/formancehq/shop", "version": "1.0.0", "env": {"GREETING": "hello"}},
}  # fmt: skip
STACK: dict[str, Any] = {
    "modules": MODULES,
    "postgres": {"host": "postgres.databases.svc", "secret": "postgres", "pool": {"maxOpen": 20}},
    "broker": {"uri": "nats://nats.brokers.svc:4222"},
    "temporal": {"address": "temporal.workflows.svc:7233", "namespace": "dev", "encryptionKey": "canary-temporal"},
    "openTelemetry": {
        "traces": {"endpoint": "grpc://otel.telemetry.svc:4317", "insecure": True},
        "metrics": {"endpoint": "grpc://otel.telemetry.svc:4317", "insecure": True},
    },
    "licence": {"token": {"name": "licence", "key": "token"}, "issuer": "https://licence.example.org"},
    "gateway": {"ingress": {"hosts": ["stack.example.org"]}},
    "migratorImage": "ghcr.io/formancehq/rollout-migrator:1",
}
AWS: dict[str, Any] = {
    "modules": {name: MODULES[name] for name in ("ledger", "webhooks")},
    "postgres": {
        "uri": "postgresql://stack@dev.cluster-x.eu-west-1.rds.amazonaws.com:5432?sslmode=require",
        "awsIam": True,
    },
    "broker": {"uri": "kafka://b-1.dev.kafka.eu-west-1.amazonaws.com:9098", "tls": True, "awsIam": True},
    "defaults": {
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/dev"}},
    },
    "migratorImage": STACK["migratorImage"],
}


def load(values: dict[str, Any], stack: str = "dev", root: Path = Path()) -> StackSettings:
    """Settings from values under ``rollout:``, all of them as if Pulumi kept them encrypted."""
    config = {f"rollout:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in values.items() if v is not None}
    return settings.load(config, stack=stack, root=root, secret_keys=list(config))
