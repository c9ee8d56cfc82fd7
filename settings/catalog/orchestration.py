"""Orchestration: workflows over the other modules, run by Temporal and set off by what the broker tells."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..environment import Variable
from ..versions import Version
from .kind import Context, Kind
from .protection import ProtectedSettings
from .variables import (
    broker,
    client,
    common,
    licence,
    listen,
    pool,
    postgres,
    protected,
    temporal,
    topic_mapping,
    topics,
)


class OrchestrationSettings(ProtectedSettings):
    """Settings of orchestration."""

    max_parallel_activities: int = Field(10, ge=1)


C = Context[OrchestrationSettings]


class Orchestration(Kind[OrchestrationSettings]):
    name = "orchestration"
    settings = OrchestrationSettings
    defaults = {"image": "ghcr.io/formancehq/orchestration", "args": []}
    debug_flag = True
    oldest = "2.0.0"
    enterprise = True
    publishes = True
    consumes = True
    needs_broker = True
    scopes = ("ledger:read", "ledger:write", "payments:read", "payments:write", "wallets:read", "wallets:write")

    def needs_temporal(self, version: Version) -> bool:
        return True

    def variables(self, c: C) -> Iterator[Variable]:
        yield from common(c)
        yield from postgres(c)
        yield from pool(c)
        yield Variable("POSTGRES_DSN", "the catalogue", "$(POSTGRES_URI)")
        yield listen(c)
        yield Variable("WORKER", "the catalogue", "true")
        yield from topics(c, "TOPICS")
        yield from protected(c)
        yield from client(c)
        yield from broker(c)
        yield topic_mapping(c)
        yield Variable("TEMPORAL_TASK_QUEUE", "the stack's name", c.stack.stack)
        yield from temporal(c)
        parallel = str(c.module.max_parallel_activities)
        yield Variable("TEMPORAL_MAX_PARALLEL_ACTIVITIES", c.setting("maxParallelActivities"), parallel)
        yield from licence(c)


KIND = Orchestration()
