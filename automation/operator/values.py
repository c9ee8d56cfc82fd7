"""The texts of the operator's settings: numbers, durations, amounts, maps and URIs, read as it reads them.

Each function raises ValueError with what is wrong and what is allowed; `told` says what was given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from policies.credentials import looks_like, may_be_named_for_one

_DURATION = re.compile(r"[+-]?((\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+|[+-]?0")
_UNITS = {"ns": "1e-9", "us": "1e-6", "µs": "1e-6", "μs": "1e-6", "ms": "1e-3", "s": "1", "m": "60", "h": "3600"}
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,2})?")
_OURS = re.compile(r"\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
# What is certainly no credential, whatever the variable's name does not say; all else is kept in a Secret.
_EVIDENT = re.compile(
    r"true|false|yes|no|on|off|none|auto|trace|debug|info|warn|warning|error|json|text|"
    r"-?\d{1,9}(\.\d{1,6})?(ns|us|ms|s|m|h|%|k|Ki|M|Mi|G|Gi|T|Ti|B|KB|MB|GB)?|"
    r"\$\(\w+\)|(https?://)?[a-z][a-z0-9-]*(\.[a-z0-9-]+)*(:\d{1,5})(/[a-z]+)*/?",
)

# Whose values are anything.
_FREE = ("env-vars", "annotations", "labels", "resource-attributes", "provider-specific")


def shown(value: Any) -> str:
    """A value for a message: quoted, on one line, without control characters, and not endless."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def plain(text: str) -> str:
    """A name for a message. Names of real objects pass unchanged."""
    return text if re.fullmatch(r"[\w./*\"@:+-]{1,250}", text) else shown(text)


def whole(text: str) -> int:
    """A whole number as Go's strconv.ParseInt has it."""
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        raise ValueError("is not a whole number, such as 3")
    return int(text)


def flag(text: str) -> bool:
    """Only ``true`` is true to the operator; whatever else is no boolean is reported, as it says something else than is meant."""
    if text not in ("true", "false"):
        raise ValueError("is not true or false, and counts as false with the operator")
    return text == "true"


def is_true(text: str) -> bool:
    """What counts as true in a URI's parameters."""
    return text.lower() == "true" or text == "1"


def duration(text: str) -> str:
    """A duration of Go's, https://pkg.go.dev/time#ParseDuration."""
    if not _DURATION.fullmatch(text):
        raise ValueError("is not a duration, such as 30s or 1m30s")
    return "0s" if text.strip("+-") == "0" else text.removeprefix("+")


def seconds(text: str) -> int:
    """A duration in whole seconds, what is left over counting as one."""
    found = re.findall(r"(\d+(?:\.\d*)?|\.\d+)([a-zµμ]+)", duration(text))
    if text.startswith("-"):
        raise ValueError("is less than nothing; allowed is a duration such as 30s")
    total = sum((Decimal(number) * Decimal(_UNITS[unit]) for number, unit in found), Decimal())
    return int(total.to_integral_value(ROUND_CEILING))


def quantity(text: str) -> str:
    """An amount of Kubernetes', in one of the forms that the settings take."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise ValueError("is not an amount, such as 512Mi or 500m")
    if _OURS.fullmatch(text):
        return text
    factors = {"n": "1e-9", "u": "1e-6", "P": "1e15", "E": "1e18", "Pi": str(1024**5), "Ei": str(1024**6)}
    factors |= {"": "1", "m": "1e-3", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12"}
    factors |= {f"{name}i": str(1024**power) for power, name in enumerate("KMGT", 1)}
    unit = found[2] or ""
    value = Decimal(found[1]) * Decimal(factors.get(unit, f"1{unit}"))
    milli = int((value * 1000).to_integral_value(ROUND_CEILING))
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def words(text: str) -> list[str]:
    """A list with commas, without what is empty."""
    return [word.strip() for word in text.split(",") if word.strip()]


@dataclass(frozen=True)
class Entry:
    """A value of a map, and whether it was written in quotes."""

    value: str
    quoted: bool


def entries(text: str) -> dict[str, Entry]:
    """A map ``a=1,b="x,y"`` as the operator reads it (settings/helpers.go, parseKeyValueList).

    That is byte by byte, and an equals sign inside a value is lost; the result is what the pods have today.
    """
    problem = ValueError('is not a map such as a=1,b="x,y"')
    found: dict[str, Entry] = {}
    key = value = ""
    in_key, in_quotes, position = True, False, 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "=":
            in_key = False
            if position == len(text):
                raise problem
            if text[position] == '"':
                in_quotes = True
            else:
                value += text[position]
            position += 1
        elif character == '"':
            if in_key:
                raise problem
            if not in_quotes:
                value += character
                continue
            found[key.strip()] = Entry(value.strip(), True)
            in_key, in_quotes, key, value = True, False, "", ""
            if position < len(text):
                if text[position] != ",":
                    raise problem
                position += 1
        elif character == "," and not in_quotes:
            found[key.strip()] = Entry(value.strip(), False)
            in_key, key, value = True, "", ""
        elif in_key:
            key += character
        else:
            value += character
    if in_quotes or (in_key and key):
        raise problem
    if not in_key:
        found[key.strip()] = Entry(value.strip(), False)
    return found


@dataclass(frozen=True)
class Uri:
    """A URI of the operator's settings, taken apart as Go's net/url does.

    Args:
        scheme: before ``://``.
        user: before the @, None where there is none.
        has_password: whether there was one.
        host: with its ports, as written.
        hostname: of the first, without brackets.
        port: None where there is none.
        path: of it.
        query: parameter -> its first value.
    """

    scheme: str
    user: str | None
    has_password: bool
    host: str
    hostname: str
    port: int | None
    path: str
    query: dict[str, str]

    @classmethod
    def parse(cls, text: str, example: str) -> Uri:
        """Reads one.

        Args:
            text: of it.
            example: what it should look like.
        """
        allowed = f"allowed is a URI such as {example}"
        if re.search(r"[\x00-\x20\x7f]", text):
            raise ValueError(f"has a space or a control character; {allowed}")
        try:
            parts = urlsplit(text)
        except ValueError:
            raise ValueError(f"is not a URI; {allowed}") from None
        login, at, host = parts.netloc.rpartition("@")
        if not at and "@" in text:
            raise ValueError(f"has an @ behind its host: in a login / ? and # are written %2F %3F and %23; {allowed}")
        if not parts.scheme or "://" not in text or not host:
            raise ValueError(f"names no host; {allowed}")
        if parts.fragment:
            raise ValueError(f"has a # and what follows it, which nobody reads; {allowed}")
        if re.search(r"%(?![0-9a-fA-F]{2})", parts.netloc + parts.path):
            raise ValueError(f"has a % without two digits; {allowed}")
        user, colon, _ = login.partition(":")
        name, port = _host(host, allowed)
        query: dict[str, str] = {}
        for key, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(key, value)
        return cls(parts.scheme, unquote(user) if at else None, bool(colon), host, name, port, parts.path, query)


def _host(host: str, allowed: str) -> tuple[str, int | None]:
    """The first name and port of ``host:port``; Kafka's brokers are several with commas."""
    found: list[tuple[str, int | None]] = []
    for each in host.split(","):
        parts = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::(.*))?", each, re.ASCII)
        if not parts:
            raise ValueError(f"has the host {shown(each)}, which is none; {allowed}")
        if parts[2] and not (re.fullmatch(r"\d{1,5}", parts[2], re.ASCII) and 0 < int(parts[2]) < 65_536):
            raise ValueError(f"has the port {shown(parts[2])}; allowed are 1 to 65535; {allowed}")
        found.append((parts[1].strip("[]"), int(parts[2]) if parts[2] else None))
    if len(found) > 1 and found[-1][1] is None:
        raise ValueError(f"has several hosts, and the last has no port, which is no URI to the operator; {allowed}")
    return found[0]


def is_evident(name: str, value: str) -> bool:
    """Whether a variable's value is certainly no credential."""
    return bool(_EVIDENT.fullmatch(value)) and looks_like(name, value) is None


def is_suspect(name: str, value: str) -> bool:
    """Whether a text that cannot be kept in a Secret looks like a credential, or like a URI with a login.

    What the name alone leaves open is suspect too, but for a reference: here nothing is refused, only listed.
    """
    if may_be_named_for_one(name) and not re.fullmatch(r"\$\([^()\n]{1,200}\)", value):
        return True
    return looks_like(name, value) is not None or re.search(r"://[^/?#\s@]+@", value) is not None


def told(name: str, text: str) -> str:
    """A text for a message; of one that may hold a credential nothing is repeated.

    Args:
        name: of the setting, parameter or key.
        text: that was given.
    """
    login = "://" in text and ("@" in text or "?" in text)
    if login or name in _FREE or is_suspect(name, text):
        return "its value, which is not repeated as it may hold a credential,"
    return shown(text)
