"""Objects of the operator, as short as a test wants them."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def made(kind: str, name: str = "x", spec: Any = None, **more: Any) -> Document:
    """An object; ``more`` is what stands beside its spec."""
    metadata = {"name": name, **more.pop("metadata", {})}
    return {"apiVersion": "formance.com/v1beta1", "kind": kind, "metadata": metadata, "spec": spec or {}, **more}


def stack(name: str = "s1", **spec: Any) -> Document:
    return made("Stack", name, {"version": "v2.4.12", **spec})


def module(kind: str, name: str = "", stack: str = "s1", **spec: Any) -> Document:
    return made(kind, name or kind.lower(), {"stack": stack, **spec})


def setting(key: str, value: str, *stacks: str, name: str = "x") -> Document:
    return made("Settings", name, {"stacks": list(stacks) or ["*"], "key": key, "value": value})


POSTGRES = setting("postgres.*.uri", "postgresql://pg:5432?secret=pg", name="pg")


def ledger(*more: Document) -> list[Document]:
    """The smallest stack: a ledger and its server, and what a test is about."""
    return [stack(), module("Ledger", "l"), POSTGRES, *more]
