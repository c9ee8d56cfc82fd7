"""Others are held up by our DDL no longer than `lock_timeout`; a storm of readers is outlasted, or its readers named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import migrator
from benchmarks import ddl_lock
from migrator.errors import Blocked

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


def allowed(uri: str) -> float:
    """Milliseconds for 99.9 % of the statements, by the server's clock; more on a machine that is slow without any DDL."""
    return 1000 * ddl_lock.LOCK_TIMEOUT + 50 + ddl_lock.blocking(uri, 4).longest


@pytest.fixture
def uri(server: str) -> Iterator[str]:
    with ddl_lock.scratch(server) as made:
        yield made


@pytest.mark.long
@pytest.mark.measures
def test_clients_that_queue_behind_a_waiting_alter_table_wait_no_longer_than_its_lock_timeout(uri: str) -> None:
    limit = allowed(uri)
    found = ddl_lock.blocking_queue(uri, 8)
    assert found.attempts > 1
    assert found.p999 <= limit, found


@pytest.mark.long
@pytest.mark.measures
def test_clients_of_tables_already_locked_wait_no_longer_either(uri: str) -> None:
    all_three = "; ".join(f"ALTER TABLE {each} ADD a integer" for each in ("one", "two", "three"))
    limit = allowed(uri)
    found = ddl_lock.blocking(uri, 8, all_three)
    assert found.attempts > 1
    assert found.p999 <= limit, found


@pytest.mark.long
@pytest.mark.measures
def test_the_waits_of_one_transaction_do_not_add_up(uri: str, tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("ALTER TABLE one ADD a integer; ALTER TABLE three ADD a integer")
    settings = migrator.Settings(lock_timeout=2, retry_budget=0)
    with psycopg.connect(uri) as first, psycopg.connect(uri) as second, psycopg.connect(uri, autocommit=True) as client:
        first.execute("SELECT FROM one")
        second.execute("SELECT FROM three")

        def write() -> None:
            script = ddl_lock.SCRIPT.format(table="one").partition("\n")[2].replace(":id", "1")
            client.execute(script.encode())

        timers = [threading.Timer(1.4, first.rollback), threading.Timer(0.3, write)]

        def log(line: str) -> None:
            if "statement 1/2 line 1: ALTER" in line:
                for timer in timers:
                    timer.start()

        with pytest.raises(Blocked):
            migrator.run(uri, tmp_path, settings, log)
        for timer in timers:
            timer.join()
        row = client.execute("SELECT max(seconds) FROM took").fetchone()
    # 1.4 s for the lock on `one`, and what is left of 2 s for the one on `three`; not another 2 s.
    assert row is not None
    assert 1.0 < row[0] < 3.0


def test_in_a_storm_of_readers_a_migration_lands_or_names_them(uri: str) -> None:
    found = ddl_lock.storm(uri, 8, retry_budget=4)
    assert found.outcome == "migrated" or (found.outcome == "blocked" and found.named > 0), found
