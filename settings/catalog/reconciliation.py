"""Reconciliation: compares what the ledger says with what payments says."""

from __future__ import annotations

from collections.abc import Iterator

from ..environment import Variable
from .kind import Context, Kind
from .protection import ProtectedSettings
from .variables import client, common, licence, listen, pool, postgres, protected


class ReconciliationSettings(ProtectedSettings):
    """Settings of reconciliation."""


C = Context[ReconciliationSettings]


class Reconciliation(Kind[ReconciliationSettings]):
    name = "reconciliation"
    settings = ReconciliationSettings
    defaults = {"image": "ghcr.io/formancehq/reconciliation", "args": []}
    debug_flag = True
    oldest = "2.0.0"
    enterprise = True
    scopes = ("ledger:read", "payments:read")

    def variables(self, c: C) -> Iterator[Variable]:
        yield from common(c)
        yield from postgres(c)
        yield from pool(c)
        yield Variable("POSTGRES_DATABASE_NAME", "the catalogue", "$(POSTGRES_DATABASE)")
        yield listen(c)
        yield from client(c)
        yield from protected(c)
        yield from licence(c)


KIND = Reconciliation()
