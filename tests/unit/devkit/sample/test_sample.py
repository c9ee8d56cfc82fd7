"""The sample's rules that need no database."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devkit.sample import ranges, traffic, versions
from devkit.sample.app import Ledger
from devkit.sample.errors import Refused
from devkit.sample.serve import Settings
from devkit.sample.store import Store, Transaction
from devkit.sample.traffic import Tally
from devkit.sample.versions import VERSIONS
from migrator import files

NEWEST, OLDEST = VERSIONS["1.8.0"], VERSIONS["1.0.0"]


def body(*amounts: object, **more: object) -> bytes:
    return json.dumps({"postings": [{"account": f"a{n}", "amount": x} for n, x in enumerate(amounts)], **more}).encode()


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_every_version_needs_the_newest_of_its_own_migrations(version: versions.Version) -> None:
    assert files.read(version.directories)[-1].number == version.needs


def test_no_two_migrations_of_any_version_share_a_number() -> None:
    everything = files.read([directory for directory in versions.SQL.iterdir() if directory.is_dir()])
    assert [each.number for each in everything] == [
        100,
        110,
        120,
        130,
        140,
        150,
        151,
        160,
        170,
        180,
        190,
        191,
        192,
        193,
    ]


def test_no_later_version_carries_a_file_that_went_wrong() -> None:
    for version in VERSIONS.values():
        assert not {"1.2.0", "1.3.0", "1.4.0", "1.5.0"} & set(version.line[:-1])


def test_an_unknown_version_is_told_which_there_are() -> None:
    with pytest.raises(KeyError, match=r"1\.6\.0"):
        versions.get("9.9.9")


@given(st.lists(st.integers(-(10**9), 10**9).filter(bool), min_size=1, max_size=8))
def test_a_transaction_is_accepted_exactly_when_it_balances(amounts: list[int]) -> None:
    rest = -sum(amounts)
    if rest:
        assert Transaction.parse(body(*amounts, rest), NEWEST).postings[-1][1] == rest
        with pytest.raises(Refused, match="sum to"):
            Transaction.parse(body(*amounts, rest, 1), NEWEST)


@pytest.mark.parametrize(
    "given_body",
    [
        b"",
        b"[]",
        b"{}",
        body(1),
        body(1.5, -1.5),
        body("1", "-1"),
        body(True, -1),
        body(0, 0),
        body(10**16, -(10**16)),
        body(1, -1, unknown=1),
        body(1, -1, description=3),
        body(1, -1, description="\0"),
        body(1, -1, metadata={"a": 1}),
        json.dumps({"postings": [{"account": "", "amount": 1}, {"account": "b", "amount": -1}]}).encode(),
    ],
)
def test_what_is_no_transaction_is_refused(given_body: bytes) -> None:
    with pytest.raises(Refused):
        Transaction.parse(given_body, NEWEST)


def test_a_version_knows_only_its_own_fields() -> None:
    assert Transaction.parse(body(1, -1, reference="r"), VERSIONS["1.1.0"]).reference == "r"
    with pytest.raises(Refused):
        Transaction.parse(body(1, -1, reference="r"), OLDEST)


def ask(ledger: Ledger, method: str, path: str, content: bytes = b"") -> tuple[int, dict[bytes, bytes], Any]:
    sent: list[Any] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": content}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": []}
    asyncio.run(ledger(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(Store("host=unused", OLDEST), OLDEST)


def test_every_answer_tells_the_version_and_while_draining_ends_the_connection(ledger: Ledger) -> None:
    status, headers, _ = ask(ledger, "GET", "/nothing")
    assert status == 404
    assert headers[b"x-ledger-version"] == b"1.0.0"
    assert b"connection" not in headers
    ledger.draining = True
    assert ask(ledger, "GET", "/nothing")[1][b"connection"] == b"close"


def test_a_write_without_an_idempotency_key_is_refused(ledger: Ledger) -> None:
    status, _, answer = ask(ledger, "POST", "/transactions", body(1, -1))
    assert status == 400
    assert answer["error"] == "idempotency_key_missing"


@pytest.mark.parametrize("path", ["/transactions/x", "/transactions/99999999999999999999", "/accounts/a%00/balance"])
def test_a_name_that_cannot_be_is_not_found(path: str, ledger: Ledger) -> None:
    assert ask(ledger, "GET", path)[0] == 404


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"POSTGRES_URI": "x", "BIND": "8080x"},
        {"POSTGRES_URI": "x", "BIND": ":99999"},
        {"POSTGRES_URI": "x", "DRAIN_SECONDS": "-1"},
    ],
)
def test_a_wrong_environment_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"POSTGRES_URI|BIND|DRAIN_SECONDS"):
        Settings.from_environment(environment)


def test_the_environment_of_a_formance_module_is_understood() -> None:
    found = Settings.from_environment({"POSTGRES_URI": "u", "BIND": "127.0.0.1:3068", "DEBUG": "true", "STACK": "dev"})
    assert (found.host, found.port, found.debug, found.stack) == ("127.0.0.1", 3068, True, "dev")


@given(st.sets(st.integers(0, 300)))
def test_ranges_are_read_as_they_were_written(numbers: set[int]) -> None:
    assert ranges.load(ranges.dump(numbers)) == numbers


def test_a_run_is_written_as_one_range() -> None:
    assert ranges.dump(range(1, 50_000)) == "1-49999"
    assert ranges.dump([7, 1, 2, 3]) == "1-3,7"


def test_lost_requests_are_told_with_the_first_and_the_last_reason() -> None:
    tally = Tally("run")
    for number in range(20):
        tally.lose("GET /", f"reason {number}")
    final = tally.final()
    assert final["lost"] == 20
    assert [each["reason"] for each in tally.first_errors] == [f"reason {number}" for number in range(5)]
    assert tally.last_error
    assert tally.last_error["reason"] == "reason 19"


def test_the_body_of_a_write_follows_from_its_number_and_balances() -> None:
    for number in range(200):
        content = json.dumps(traffic.entry("run", number)).encode()
        assert Transaction.parse(content, OLDEST).postings[1][1] == traffic.amount(number)
