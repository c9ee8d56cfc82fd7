"""docs/operator.md has every kind and every key that the import knows, with its counterpart or the reason for none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from automation.operator import translate
from automation.operator.settings import Lookup, Setting, split
from automation.operator.translate import _REASONS, _WITHOUT
from settings.catalog import KINDS
from tests.unit.automation.operator.objects import ledger, module, setting

PAGE = Path("docs/operator.md").read_text()
KEYS = re.findall(r"^\| `([^|]+)` \| `[^|]+` \| .+ \|$", PAGE, re.MULTILINE)
MODULES = ("Auth", "Gateway", "Orchestration", "Payments", "Reconciliation", "Stargate", "TransactionPlane", "Wallets", "Webhooks")  # fmt: skip
# Containers of other names than their module's, and what stands for any module's in a key.
ANY = {kind.lower() for kind in (*MODULES, "Ledger")} | {
    "payments-api",
    "payments-read",
    "payments-connectors",
    "connectors",
    "api",
    "*",
}


def shape(parts: tuple[str, ...]) -> tuple[str, ...]:
    """A key's parts with one mark in the place of each module, worker and image."""
    return tuple("M" if p.lower().removesuffix("-worker") in ANY or "/" in p else p for p in parts)


def test_every_key_that_is_looked_for_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, ...]] = set()
    found = Lookup.find

    def noted(self: Lookup, *parts: str) -> Setting | None:
        asked.add(parts)
        return found(self, *parts)

    monkeypatch.setattr(Lookup, "find", noted)
    ingress = {"host": "a.example.org", "scheme": "https"}
    others = [module(kind, ingress=ingress) if kind == "Gateway" else module(kind) for kind in MODULES]
    dsn = [setting(f"opentelemetry.{s}.dsn", "grpc://c:4317", name=s) for s in ("traces", "metrics")]
    translate(ledger(*others, *dsn, setting("broker.dsn", "nats://n:4222", name="b")))
    rows = {shape(split(key)) for key in KEYS}
    missing = sorted(".".join(parts) for parts in asked if shape(parts) not in rows)
    assert not missing


@pytest.mark.parametrize("reason", [key for key, _ in _REASONS])
def test_every_reason_for_none_has_a_row(reason: str) -> None:
    assert any(reason in key.lower() for key in KEYS)


@pytest.mark.parametrize("kind", [*_WITHOUT, "Stack", "Settings", "Versions", "AuthClient", "Broker", "Database"])
def test_every_kind_has_a_row(kind: str) -> None:
    assert re.search(rf"^\|.*`{kind}`.*\|.+\|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"custom"}))
def test_every_kind_of_module_has_a_row(kind: str) -> None:
    assert re.search(rf"^\|.*`{kind}`.*\|.+\|$", PAGE, re.MULTILINE | re.IGNORECASE)


def test_the_page_says_what_it_was_compared_with() -> None:
    assert "formancehq/operator at de735dc (2026-05-15" in PAGE
