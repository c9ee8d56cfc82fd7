"""DDL statements by the hundred, each run on a real PostgreSQL and classified as expected."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import make_conninfo

from migrator import compatibility, database, fingerprint
from migrator.compatibility import RULES
from migrator.database import Target
from tests.cluster.migrator.conftest import QUIET

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

GROUPS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "corpus.yaml").read_text())
CASES = [(number, case) for number, group in enumerate(GROUPS) for case in group["cases"]]


@pytest.fixture(scope="module")
def connection(superuser: str) -> Iterator[psycopg.Connection]:
    target = Target(f"migrator-test-corpus-{secrets.token_hex(4)}", superuser)
    database.create(target, QUIET, print)
    with psycopg.connect(make_conninfo(target.conninfo, dbname=target.name), autocommit=True) as connection:
        yield connection
    database.drop(target, QUIET, print)


def _needs_superuser(what: dict[str, Any], connection: psycopg.Connection) -> None:
    if what.get("superuser") and connection.info.parameter_status("is_superuser") != "on":
        pytest.skip("needs a superuser")


@pytest.fixture(scope="module")
def before(connection: psycopg.Connection, request: pytest.FixtureRequest) -> Iterator[fingerprint.Snapshot]:
    """A group's setup, in a transaction that is rolled back after its last case."""
    group = GROUPS[request.param]
    _needs_superuser(group, connection)
    with connection.transaction(force_rollback=True):
        connection.execute(group["setup"].encode())
        yield fingerprint.take(connection)


def test_there_are_at_least_150_and_every_rule_has_one() -> None:
    assert len(CASES) >= 150
    assert all(case["from"] for _, case in CASES)
    expected = {finding for _, case in CASES for finding in case.get("is", ())}
    assert {f"{rule.level} {rule.id}" for rule in RULES} == expected


@pytest.mark.parametrize(("before", "case"), CASES, indirect=["before"], ids=[case["do"][:70] for _, case in CASES])
def test_it_is_classified_as_expected(
    before: fingerprint.Snapshot, case: dict[str, Any], connection: psycopg.Connection
) -> None:
    _needs_superuser(case, connection)
    with connection.transaction(force_rollback=True):
        connection.execute(case["do"].encode())
        findings = compatibility.classify(before, fingerprint.take(connection))
    assert sorted(f"{each.level} {each.rule}" for each in findings) == sorted(case["is"]), "\n".join(map(str, findings))
