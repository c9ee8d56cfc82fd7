"""The kinds of module that are known by name, one file each. A file is loaded when a stack has a module of its kind.

kind         what a kind is
variables    the variables that several kinds share
custom       any image with a ``migrate`` command
gateway, ledger, payments, auth, orchestration, reconciliation, wallets, webhooks, transactionplane, stargate
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from .kind import Context, File, Kind, Plan, Port, Role

KINDS = (
    "auth",
    "custom",
    "gateway",
    "ledger",
    "orchestration",
    "payments",
    "reconciliation",
    "stargate",
    "transactionplane",
    "wallets",
    "webhooks",
)


@cache
def find(name: str) -> Kind[Any]:
    """The kind of a name in :data:`KINDS`."""
    kind: Kind[Any] = import_module(f".{name}", __name__).KIND
    return kind


__all__ = ["KINDS", "Context", "File", "Kind", "Plan", "Port", "Role", "find"]
