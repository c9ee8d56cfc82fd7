"""Payments: connectors to banks and processors, an API and a worker that runs Temporal's workflows.

Before 3.0 the worker is the connectors themselves. They answer a part of the API, which the gateway sends to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from ..credentials import Credential
from ..environment import Variable, credential
from ..gateway import Part
from ..module import WorkerSettings
from ..versions import Version
from .kind import Context, Kind, Port, Role
from .protection import ProtectedSettings
from .variables import common, licence, listen, pool, postgres, protected, publisher, temporal

# The operator's rule: from here on there is an image of its own for those with a licence.
_ENTERPRISE_IMAGE = Version("3.2.0-beta.0")
_WITH_TEMPORAL = Version("3.0.0-beta.1")


class PaymentsWorkerSettings(WorkerSettings):
    """The worker of payments, and how much it takes from Temporal at once."""

    temporal_max_concurrent_workflow_task_pollers: int = Field(4, ge=1)
    temporal_max_concurrent_activity_task_pollers: int = Field(4, ge=1)
    temporal_max_slots_per_poller: int = Field(10, ge=1)
    temporal_max_local_activity_slots: int = Field(50, ge=1)


class PaymentsSettings(ProtectedSettings):
    """Settings of payments."""

    encryption_key: Credential = Field(description="encrypts the connectors' configuration in the database")
    worker: PaymentsWorkerSettings = PaymentsWorkerSettings()


C = Context[PaymentsSettings]


class Payments(Kind[PaymentsSettings]):
    name = "payments"
    settings = PaymentsSettings
    defaults = {"image": "ghcr.io/formancehq/payments", "args": ["server"]}
    debug_flag = True
    oldest = "2.0.0"
    publishes = True

    def needs_temporal(self, version: Version) -> bool:
        return not version.is_older_than(_WITH_TEMPORAL)

    def defaults_at(self, version: Version) -> Mapping[str, Any]:
        if self.needs_temporal(version):
            return self.defaults
        return {**self.defaults, "args": ["api", "serve"], "probe": {"path": "/_health"}}

    def image(self, c: C) -> str:
        enterprise = c.version.semantic is None or not c.version.is_older_than(_ENTERPRISE_IMAGE)
        ours = c.module.image == self.defaults["image"]
        return f"{c.module.image}-ee" if ours and c.stack.licence and enterprise else c.module.image

    def variables(self, c: C) -> Iterator[Variable]:
        yield from common(c)
        yield from postgres(c)
        yield from pool(c)
        yield from self.migration_variables(c)
        yield listen(c)
        yield from protected(c)
        yield from publisher(c)
        if not self.needs_temporal(c.version):
            return
        yield from temporal(c)
        settings = c.stack.temporal
        if settings and settings.encryption_key is not None:
            place = "rollout:temporal.encryptionKey"
            yield Variable("TEMPORAL_ENCRYPTION_ENABLED", place, "true")
            yield credential("TEMPORAL_ENCRYPTION_KEY", "temporal-encryption", settings.encryption_key, place)
        w = c.module.worker
        for name, value in (
            ("WORKFLOW_TASK_POLLERS", w.temporal_max_concurrent_workflow_task_pollers),
            ("ACTIVITY_TASK_POLLERS", w.temporal_max_concurrent_activity_task_pollers),
        ):
            yield Variable(f"TEMPORAL_MAX_CONCURRENT_{name}", c.setting("worker"), str(value))
        yield Variable("TEMPORAL_MAX_SLOTS_PER_POLLER", c.setting("worker"), str(w.temporal_max_slots_per_poller))
        yield Variable(
            "TEMPORAL_MAX_LOCAL_ACTIVITY_SLOTS", c.setting("worker"), str(w.temporal_max_local_activity_slots)
        )
        yield from licence(c)

    def migration_variables(self, c: C) -> Iterator[Variable]:
        yield Variable("POSTGRES_DATABASE_NAME", "the catalogue", "$(POSTGRES_DATABASE)")
        yield credential("CONFIG_ENCRYPTION_KEY", "encryption", c.module.encryption_key, c.setting("encryptionKey"))

    def worker(self, c: C) -> Role:
        if not self.needs_temporal(c.version):
            connectors = (Port("connectors", c.module.port),)
            return self.beside(c.module.worker, self.variables(c), connectors, args=("connectors", "serve"))
        # Workflows that new code started fail in old workers, so the worker is replaced whole and before the API.
        return self.beside(c.module.worker, self.variables(c), (Port("http", c.module.port),))

    def parts(self, c: C) -> tuple[Part, ...]:
        if self.needs_temporal(c.version):
            return ()
        # formancehq/operator v3.9.2, internal/resources/payments/Caddyfile.gotpl.
        connectors = f"{c.name}-worker"
        return (
            Part(connectors, ("/connectors", "/configs")),
            Part(connectors, ("/bank-accounts",), ("POST", "PATCH")),
            Part(connectors, ("/transfer-initiations",), ("POST", "DELETE")),
        )

    def problems(self, c: C) -> Iterator[str]:
        if self.parts(c) and c.stack.gateway_module is None:
            yield "before 3.0 needs a gateway in the stack, which sends the connectors what is for them"


KIND = Payments()
