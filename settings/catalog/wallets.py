"""Wallets: an API over the ledger, without a database of its own, and so without a migration."""

from __future__ import annotations

from collections.abc import Iterator

from ..environment import Variable
from .kind import Context, Kind
from .protection import ProtectedSettings
from .variables import client, common, licence, listen, protected


class WalletsSettings(ProtectedSettings):
    """Settings of wallets."""


C = Context[WalletsSettings]


class Wallets(Kind[WalletsSettings]):
    name = "wallets"
    settings = WalletsSettings
    defaults = {"image": "ghcr.io/formancehq/wallets", "database": False}
    debug_flag = True
    enterprise = True
    scopes = ("ledger:read", "ledger:write")

    def variables(self, c: C) -> Iterator[Variable]:
        yield from common(c)
        yield listen(c)
        yield from client(c)
        yield from protected(c)
        yield from licence(c)


KIND = Wallets()
