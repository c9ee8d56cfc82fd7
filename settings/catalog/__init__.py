"""The kinds of module that are known by name, one file each. A file is loaded when a stack has a module of its kind.

kind         what a kind is
variables    the variables that several kinds share
custom       any image with a ``migrate`` command
gateway, ledger, payments, auth, orchestration, reconciliation, wallets, webhooks, transactionplane, stargate, mcp
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
    "mcp",
    "orchestration",
    "payments",
    "reconciliation",
    "stargate",
    "transactionplane",
    "wallets",
    "webhooks",
)

# What the Formance operator knows as a module and there is no kind of, with the reason.
UNSUPPORTED = {
    "connectivity": "it needs ledger 3, which is not supported, and is deployed by an operator of its own (connectivity.formance.com)",
    "search": "the operator does not deploy it any more (v3.0.0); stop it there and drop it from the versions file",
}


@cache
def find(name: str) -> Kind[Any]:
    """The kind of a name in :data:`KINDS`."""
    kind: Kind[Any] = import_module(f".{name}", __name__).KIND
    return kind


__all__ = ["KINDS", "UNSUPPORTED", "Context", "File", "Kind", "Plan", "Port", "Role", "find"]
