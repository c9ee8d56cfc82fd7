"""Keeps secrets out of every text that leaves: logs of Jobs, messages of the engine, reports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

MASK = "[secret]"
# Shorter values occur by chance in any text, and a password that short hides nothing.
_SHORTEST = 5
# Where a secret may sit in a value that also holds plain settings: Pulumi marks a whole object as secret for one field of it.
_SENSITIVE = re.compile(r"uri|password|passwd|secret|token|key|credential|passphrase", re.IGNORECASE)
_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<user>[^\s:/@]*):(?P<password>[^\s/]+)@", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"(?P<name>\b(?:password|passwd|pgpassword|postgres_password)\s*[=:]\s*)(?P<quote>['\"]?)(?P<value>[^\s'\"&,;}]+)",
    re.IGNORECASE,
)


class Redactor:
    """Replaces known secret values, passwords in URIs and ``password=...`` by ``[secret]``.

    Args:
        values: secrets known by value.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: tuple[str, ...] = ()
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Adds secrets; each is also recognised in its URL-quoted form."""
        known = set(self._values)
        for value in values:
            known |= {v for v in (value, quote(value, safe=""), unquote(value)) if len(v) >= _SHORTEST}
        # A longer secret may contain a shorter one.
        self._values = tuple(sorted(known, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        if "://" in text:
            text = _USERINFO.sub(lambda m: f"{m['scheme']}{m['user']}:{MASK}@", text)
        return _ASSIGNED.sub(
            lambda m: m[0] if m["value"].startswith(("$(", MASK)) else f"{m['name']}{m['quote']}{MASK}", text
        )


def secret_values(config: Mapping[str, str], secret_keys: Iterable[str]) -> set[str]:
    """The secrets in a stack's decrypted configuration.

    Args:
        config: full keys to texts; objects as JSON.
        secret_keys: the keys Pulumi keeps encrypted.
    """
    found: set[str] = set()
    for key in secret_keys:
        text = config.get(key)
        if text is None:
            continue
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        leaves = [("", value)] if not isinstance(value, (dict, list)) else list(_leaves(value))
        for name, leaf in leaves:
            found |= _secrets_of(name, str(leaf))
    return found


def _secrets_of(name: str, text: str) -> set[str]:
    if "://" in text:
        try:
            parts = urlsplit(text)
        except ValueError:
            return {text}
        # The host stays readable: a message that names no server helps nobody.
        return {unquote(parts.password)} if parts.password else set()
    return {text} if not name or _SENSITIVE.search(name) else set()


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            # Every variable under `env` counts: its name is the module's own, and says little.
            yield from _leaves(inner, "secret" if name == "env" else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    elif isinstance(value, str):
        yield name, value
