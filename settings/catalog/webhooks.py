"""Webhooks: tells other systems by HTTP what the broker tells it."""

from __future__ import annotations

from collections.abc import Iterator

from ..environment import Variable
from .kind import Context, Kind
from .protection import ProtectedSettings
from .variables import broker, common, licence, listen, pool, postgres, protected, topics


class WebhooksSettings(ProtectedSettings):
    """Settings of webhooks."""


C = Context[WebhooksSettings]


class Webhooks(Kind[WebhooksSettings]):
    name = "webhooks"
    settings = WebhooksSettings
    defaults = {"image": "ghcr.io/formancehq/webhooks"}
    debug_flag = True
    # Before, serving migrated too (`serve --auto-migrate`).
    oldest = "2.0.0"
    enterprise = True
    consumes = True
    needs_broker = True

    def variables(self, c: C) -> Iterator[Variable]:
        yield from common(c)
        yield from postgres(c)
        yield from pool(c)
        yield Variable("STORAGE_POSTGRES_CONN_STRING", "the catalogue", "$(POSTGRES_URI)")
        yield listen(c)
        yield Variable("WORKER", "the catalogue", "true")
        yield from topics(c, "KAFKA_TOPICS")
        yield from protected(c)
        yield from broker(c)
        yield from licence(c)


KIND = Webhooks()
