"""TransactionPlane: carries transactions from one module to another."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..environment import Variable
from ..module import WorkerSettings
from .kind import Context, Kind, Port, Role
from .protection import ProtectedSettings
from .variables import broker, client, common, listen, pool, postgres, protected, topic_mapping, topics


class TransactionPlaneSettings(ProtectedSettings):
    """Settings of transactionplane."""

    worker: WorkerSettings = WorkerSettings()
    worker_within: bool = Field(False, description="work in the API's pods instead of a Deployment beside it")


C = Context[TransactionPlaneSettings]


class TransactionPlane(Kind[TransactionPlaneSettings]):
    name = "transactionplane"
    settings = TransactionPlaneSettings
    defaults = {"image": "ghcr.io/formancehq/transaction-plane"}
    publishes = True
    consumes = True
    # formancehq/operator v3.9.2, internal/resources/transactionplane/init.go: its consumer includes itself, alone of all.
    hears_itself = True
    needs_broker = True
    # As the operator writes a kind (LowerCamelCaseKind), which dashboards go by.
    telemetry_name = "transactionPlane"
    scopes = ("ledger:read", "ledger:write", "payments:read", "payments:write")

    def variables(self, c: C) -> Iterator[Variable]:
        yield from common(c)
        yield from postgres(c)
        yield from pool(c)
        yield listen(c)
        yield from protected(c)
        yield from client(c)
        yield from topics(c, "TOPICS")
        yield from broker(c)
        yield topic_mapping(c)

    def api_variables(self, c: C) -> Iterator[Variable]:
        if c.module.worker_within:
            yield Variable("WORKER_ENABLED", c.setting("workerWithin"), "true")

    def worker(self, c: C) -> Role | None:
        if c.module.worker_within:
            return None
        return self.beside(c.module.worker, self.variables(c), (Port("http", c.module.port),))


KIND = TransactionPlane()
