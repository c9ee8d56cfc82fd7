"""The operator's Settings are found, and their texts read, as its own source does.

Facts of formancehq/operator, internal/resources/settings/helpers.go and its test, at de735dc.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from automation.operator.settings import Setting, find, split
from automation.operator.values import Uri, duration, entries, quantity, seconds, whole


def of(key: str, value: str, *stacks: str) -> Setting:
    return Setting(value, key, value, stacks or ("*",))


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ('"postgres.payments.dsn"', ["postgres.payments.dsn"]),
        (
            'resource-requirements."payments.io".containers.payments.limits',
            ["resource-requirements", "payments.io", "containers", "payments", "limits"],
        ),
        ("a b.c", ["a", "b", "c"]),
    ],
)
def test_a_key_is_split_at_dots_outside_quotes(key: str, parts: list[str]) -> None:
    assert split(key) == tuple(parts)


LIMITS = "resource-requirements.*.containers.*.limits"


@pytest.mark.parametrize(
    ("settings", "key", "expected"),
    [
        ([of("postgres.ledger.dsn", "no", "s"), of("postgres.*.dsn", "yes", "s")], "postgres.payments.dsn", "yes"),
        ([of("postgres.*.dsn", "no", "s"), of("postgres.ledger.dsn", "yes", "s")], "postgres.ledger.dsn", "yes"),
        ([of(LIMITS, "no", "s"), of("resource-requirements.ledger.containers.*.limits", "yes", "s")],
         "resource-requirements.ledger.containers.ledger.limits", "yes"),
        ([of("resource-requirements.ledger.containers.ledger.limits", "no"), of(LIMITS, "yes", "s")],
         "resource-requirements.ledger.containers.ledger.limits", "yes"),
        ([of('registries."docker.io".endpoint', "yes"), of("registries.*.endpoint", "no")], 'registries."docker.io".endpoint', "yes"),
        ([of("registries.*.endpoint", "yes")], 'registries."ghcr.io".endpoint', "yes"),
        ([of("registries.ghcr.io.endpoint", "no")], 'registries."ghcr.io".endpoint', None),
        ([of("*.ledger.replicas", "yes")], "deployments.ledger.replicas", "yes"),
        ([of("deployments.*.replicas", "no", "s"), of("*.ledger.replicas", "no", "s"), of("deployments.ledger.replicas", "yes", "s")],
         "deployments.ledger.replicas", "yes"),
    ],
)  # fmt: skip
def test_the_setting_that_counts_is_the_operators(settings: list[Setting], key: str, expected: str | None) -> None:
    for order in (settings, settings[::-1]):
        found = find(order, split(key))
        assert (found[0].value if found else None) == expected


def test_only_a_list_of_nothing_but_the_wildcard_is_for_all_stacks() -> None:
    """settings_types.go, IsWildcard: a list that names another stack beside it comes before it."""
    settings = [of("postgres.*.uri", "all", "*"), of("postgres.*.uri", "two", "*", "other")]
    assert find(settings, ("postgres", "ledger", "uri"))[0].value == "two"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a=b,c="d e", f=g,h="i,j"', {"a": "b", "c": "d e", "f": "g", "h": "i,j"}),
        ('FOO="a,b",BAR=c', {"FOO": "a,b", "BAR": "c"}),
        ("", {}),
        ("a=b=c", {"a": "bc"}),  # what the pods have today
        ("a=b,", {"a": "b"}),
    ],
)
def test_a_map_is_read_byte_by_byte(text: str, expected: dict[str, str]) -> None:
    assert {key: entry.value for key, entry in entries(text).items()} == expected


@pytest.mark.parametrize("text", ["memory:512Mi", 'a="b', "a=", 'a="b"c', 'a"b=c', "a"])
def test_what_is_no_map_to_the_operator_is_none_here(text: str) -> None:
    with pytest.raises(ValueError, match="is not a map"):
        entries(text)


@pytest.mark.parametrize(("text", "expected"), [("500ms", 1), ("1m30s", 90), ("1.5s", 2), ("2h", 7200), ("0", 0)])
def test_a_duration_in_seconds_is_rounded_up(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["10", "5 s", "1d", "", "s", "1,5s"])
def test_what_is_no_duration_of_gos_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("512Mi", "512Mi"), ("1e3", "1000"), ("100n", "1m"), ("1Pi", str(1024**5)), (".5", "500m")]
)
def test_every_amount_of_kubernetes_is_one_that_the_settings_take(text: str, expected: str) -> None:
    assert quantity(text) == expected


@pytest.mark.parametrize("text", ["two", "3.0", "40s", "", "1_000", "٣"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        whole(text)


def test_a_uri_is_taken_apart_as_go_does() -> None:
    uri = Uri.parse("postgresql://u%40x:p%40w@host:5432/db?a=1&a=2&b=", "x")
    assert (uri.user, uri.has_password, uri.host, uri.hostname, uri.port) == ("u@x", True, "host:5432", "host", 5432)
    assert uri.query == {"a": "1", "b": ""}
    assert Uri.parse("kafka://a:9092,b:9093", "x").host == "a:9092,b:9093"
    assert Uri.parse("postgresql://[::1]:5432", "x").hostname == "::1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://collector:port", "has the port 'port'"),
        ("http://collector:70000", "has the port '70000'"),
        ("collector:4317", "names no host"),
        ("postgresql://u:pa/ss@host", "has an @ behind its host"),
        ("postgresql://u:pa#ss@host", "has an @ behind its host"),
        ("kafka://a:9092,b", "the last has no port"),
        ("postgresql://host\n:5432", "control character"),
        ("nats://ho st:4222", "a space"),
    ],
)
def test_what_is_no_uri_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        Uri.parse(text, "x")
    assert "pa" not in str(raised.value).replace("password", "").replace("parameter", "").replace("space", "")


@pytest.mark.measures
@pytest.mark.parametrize("form", [quantity, duration, seconds, whole])
@pytest.mark.parametrize("text", ["0", "1.", "9m", "."])
def test_a_megabyte_is_refused_in_linear_time(form: Callable[[str], Any], text: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError):  # noqa: PT011 - each says it in its own words
        form(text * (1_000_000 // len(text)) + "x")
    assert time.process_time() - began < 1
