"""How long a migration that cannot get its locks holds up others: ``python -m benchmarks.ddl_lock [SECONDS]`` prints JSON.

pgbench's clients write to two tables, one statement a transaction, and each statement notes itself how long it took on
the server: waiting for a lock is part of that, the client's own scheduling is not. Meanwhile a runner tries again and
again to alter both tables, which a reader that never ends does not let it. The quiet part has no runner.

The storm is another question: readers of 1 to 3 s that overlap, so that a table is never free. Does the migration get
through within its budget, or say who is in its way?
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

import migrator
from devkit import paths
from devkit.cluster import packages
from migrator import database
from migrator.database import Target
from migrator.errors import Blocked
from migrator.settings import Settings

LOCK_TIMEOUT = 0.5
CLIENTS = 8
RATE = 400
_SETUP = """
CREATE TABLE one (id integer PRIMARY KEY, n integer NOT NULL); CREATE TABLE two (LIKE one INCLUDING ALL);
CREATE TABLE three (LIKE one INCLUDING ALL);
INSERT INTO one SELECT g, 0 FROM generate_series(1, 1000) g; INSERT INTO two SELECT * FROM one;
CREATE UNLOGGED TABLE took (seconds double precision NOT NULL);
"""
SCRIPT = """\\set id random(1, 1000)
WITH w AS (UPDATE {table} SET n = n + 1 WHERE id = :id RETURNING 1)
INSERT INTO took SELECT extract(epoch FROM clock_timestamp() - statement_timestamp()) FROM w;
"""


@dataclass(frozen=True)
class Blocking:
    """How long statements of others took, in milliseconds.

    Attributes:
        statements: how many there were.
        median: half of them took less.
        p999: 99.9 % took less.
        longest: the longest.
        attempts: how often the runner had taken its first lock or waited for one.
    """

    statements: int
    median: float
    p999: float
    longest: float
    attempts: int


@dataclass(frozen=True)
class Storm:
    """What came of a migration in a storm of readers.

    Attributes:
        outcome: `migrated` or `blocked`.
        seconds: until then.
        attempts: how often it was tried; 0 where it gave up.
        named: how many blockers it named when it gave up.
    """

    outcome: str
    seconds: float
    attempts: int
    named: int


@contextlib.contextmanager
def scratch(server: str) -> Iterator[str]:
    """A database with the tables in it, gone afterwards."""
    target = Target(f"benchmark-{secrets.token_hex(4)}", server)
    database.create(target, Settings(), _quiet)
    uri = make_conninfo(server, dbname=target.name)
    try:
        with psycopg.connect(uri) as connection:
            connection.execute(_SETUP)
        yield uri
    finally:
        database.drop(target, Settings(), _quiet)


def blocking(uri: str, seconds: float, statements: str = "") -> Blocking:
    """Measures the load alone, or with a runner that tries to run statements and is not let.

    Args:
        uri: of a database made by `scratch`.
        seconds: how long.
        statements: the migration; a reader holds `three` all the time.
    """
    said: list[str] = []
    with tempfile.TemporaryDirectory() as directory, psycopg.connect(uri) as reader:
        for table in ("one", "two"):
            Path(directory, f"{table}.script").write_text(SCRIPT.format(table=table))
        reader.execute("SELECT FROM three")
        load = subprocess.Popen(
            ["pgbench", "--no-vacuum", f"--client={CLIENTS}", f"--rate={RATE}", f"--time={seconds:.0f}",
             f"--file={directory}/one.script", f"--file={directory}/two.script", uri],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if statements:
            Path(directory, "0001_ddl.sql").write_text(statements)
            settings = Settings(lock_timeout=LOCK_TIMEOUT, retry_budget=seconds - 1)
            with contextlib.suppress(Blocked):
                migrator.run(uri, directory, settings, said.append)
        output, _ = load.communicate(timeout=seconds + 60)
        if load.returncode:
            raise RuntimeError(output)
    with psycopg.connect(uri) as connection:
        row = connection.execute(
            "SELECT count(*), 1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), "
            "1000 * percentile_disc(0.999) WITHIN GROUP (ORDER BY seconds), 1000 * max(seconds) FROM took"
        ).fetchone()
        connection.execute("TRUNCATE took")
    assert row is not None, "an aggregate gives a row"
    attempts = sum("trying again" in line for line in said)
    return Blocking(row[0], round(row[1], 1), round(row[2], 1), round(row[3], 1), attempts)


def storm(uri: str, seconds: float, retry_budget: float, seed: int = 1) -> Storm:
    """Runs a migration while readers of 1 to 3 s overlap.

    Args:
        uri: of a database made by `scratch`.
        seconds: how long the readers go on.
        retry_budget: the runner's.
        seed: of the readers' lengths.
    """
    end = time.monotonic() + seconds
    done = threading.Event()
    threads = [threading.Thread(target=_read, args=(uri, end, done, random.Random(seed + n))) for n in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "0001_ddl.sql").write_text("ALTER TABLE one ADD x integer")
        try:
            result = migrator.run(
                uri, directory, Settings(lock_timeout=LOCK_TIMEOUT, retry_budget=retry_budget), _quiet
            )
            found = Storm(result.outcome, round(time.monotonic() - began, 1), result.attempts, 0)
        except Blocked as error:
            found = Storm("blocked", round(time.monotonic() - began, 1), 0, len(error.blockers))
    done.set()
    for thread in threads:
        thread.join()
    return found


def _pgbench() -> Path | str:
    directory = packages.postgresql_bin()
    return directory / "pgbench" if directory else "pgbench"


def _read(uri: str, end: float, done: threading.Event, chance: random.Random) -> None:
    with psycopg.connect(uri, application_name="report") as connection:
        while time.monotonic() < end and not done.is_set():
            connection.execute("SELECT count(*) FROM one")
            done.wait(chance.uniform(1, 3))
            connection.rollback()


def _quiet(_line: str) -> None:
    pass


def main(seconds: float) -> dict[str, object]:
    """Gives all figures."""
    server = os.environ.get("TEST_POSTGRES_URI") or paths.postgres().uri()
    with scratch(server) as uri:
        quiet = blocking(uri, seconds)
        # Alone: it waits for the reader of `three`, holding nothing.
        # After others: it holds `one` and `two`, which the clients write to, while it waits.
        holding = blocking(
            uri,
            seconds,
            "ALTER TABLE one ADD a integer; ALTER TABLE two ADD a integer; ALTER TABLE three ADD a integer",
        )
        queued = blocking_queue(uri, seconds)
    storms = []
    for seed, budget in ((1, 25.0), (2, 5.0)):
        with scratch(server) as uri:
            storms.append({"retry_budget": budget, **asdict(storm(uri, 30, budget, seed))})
    return {
        "lock_timeout_ms": 1000 * LOCK_TIMEOUT,
        "quiet": asdict(quiet),
        "queued_behind_a_reader": asdict(queued),
        "holding_two_tables": asdict(holding),
        "storms": storms,
    }


def blocking_queue(uri: str, seconds: float) -> Blocking:
    """The same where the clients' own table is the one that a reader does not let go of: they queue behind the DDL."""
    with psycopg.connect(uri) as reader:
        reader.execute("SELECT FROM one")
        return blocking(uri, seconds, "ALTER TABLE one ADD a integer")


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]) if sys.argv[1:] else 30), indent=2))
