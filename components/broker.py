"""What the modules' messages go through: the stack's stream and a durable consumer of it for each module that listens."""

from __future__ import annotations

import json

import pulumi
import pulumi_kubernetes as k8s

from settings import JobSettings, StackSettings

from .job import gate_job
from .names import job_labels
from .scope import Scope

NAME = "broker-topics"


class Topics(pulumi.ComponentResource):
    """A Job that makes them in NATS JetStream, where the stack has one stream and not each module its own.

    It runs again when modules that publish or listen come or go, and never with their versions. The stream is never removed.

    Args:
        settings: of the stack.
        scope: where to declare it.

    Attributes:
        job: what modules that use the broker wait for.
    """

    def __init__(self, settings: StackSettings, scope: Scope) -> None:
        super().__init__("rollout:index:Topics", NAME, None, scope.component())
        broker = settings.broker
        assert broker is not None
        listeners = {name: settings.publishers(name) for name in sorted(settings.modules) if settings.listens(name)}
        consumers = {
            name: [broker.topic(settings.stack, publisher) for publisher in publishers]
            for name, publishers in listeners.items()
            if publishers
        }
        account = k8s.core.v1.ServiceAccount(
            NAME, metadata=scope.metadata(NAME), automount_service_account_token=False, opts=scope.resource(self)
        )
        env = {
            "BROKER_URL": broker.uri,
            "BROKER_STREAM": settings.stack,
            "BROKER_REPLICAS": str(broker.replicas),
            "BROKER_CONSUMERS": json.dumps(consumers),
        }
        self.job = gate_job(
            NAME,
            NAME,
            container={
                "name": "create-topics",
                "image": settings.migrator_image,
                "args": ["create-topics"],
                "env": [{"name": k, "value": v} for k, v in env.items()],
            },
            labels=job_labels("broker", "topics"),
            active_deadline_seconds=60,
            backoff_limit=0,
            run_as_user=65_532,
            service_account=NAME,
            jobs=settings.defaults.jobs if settings.defaults else JobSettings(),
            scope=scope,
            opts=scope.job(self, depends_on=[account]),
        )
        self.register_outputs({})
