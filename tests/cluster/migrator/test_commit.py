"""Where the server's answer to COMMIT does not arrive, what has happened is looked up, and told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

import migrator
from migrator.errors import DatabaseUnavailable, Terminated
from migrator.job import install_signals
from tests.cluster.migrator.conftest import QUIET, Database
from tests.cluster.migrator.wire import Wire, wire

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

ONCE = "CREATE TABLE once ()"


@pytest.fixture
def wired(base: Database) -> Iterator[Wire]:
    with wire(base.uri) as made:
        yield made


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    install_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Log:
    """Has the wire do something with the answer that follows the first line with a text."""

    def __init__(self, text: str, wired: Wire, then: Callable[[Wire], None]) -> None:
        self.lines: list[str] = []
        self._text, self._wired = text, wired
        self._then: Callable[[Wire], None] | None = then

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if self._text in line:
            self._wired.answer, self._then = self._then, None

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def test_what_was_committed_counts_as_applied_by_the_run_that_lost_the_answer(base: Database, wired: Wire) -> None:
    base.write(_0001_a=ONCE, _0002_b="SELECT 1")
    log = Log("commit", wired, Wire.cut)
    result = migrator.run(wired.uri, base.directory, QUIET, log)
    assert (result.outcome, result.applied, result.attempts) == ("migrated", ("0001_a.sql", "0002_b.sql"), 2)
    assert (result.before, result.after) == (0, 2)
    assert "whether 0001_a.sql, 0002_b.sql is committed is not known" in log
    assert "the answer was lost, but 0001_a.sql, 0002_b.sql is committed" in log
    assert "rolled back" not in log


def test_a_non_transactional_file_counts_too(base: Database, wired: Wire) -> None:
    base.write(_0001_a=f"-- migrate: non-transactional\n{ONCE}")
    log = Log("0001_a.sql is done", wired, Wire.cut)
    result = migrator.run(wired.uri, base.directory, QUIET, log)
    assert (result.outcome, result.applied, result.attempts) == ("migrated", ("0001_a.sql",), 2)


def test_what_was_not_committed_is_applied_by_the_next_attempt(base: Database) -> None:
    base.execute("CREATE SEQUENCE tries")
    base.write(
        _0001_a="""
        CREATE TABLE once (id int);
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
          IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END$$;
        CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON migrator.migrations DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION die();
        INSERT INTO once VALUES (1)"""
    )
    said: list[str] = []
    result = migrator.run(base.uri, base.directory, QUIET, said.append)
    assert (result.applied, result.attempts) == (("0001_a.sql",), 2)
    assert base.value("SELECT count(*) FROM once") == 1
    assert any("whether 0001_a.sql is committed is not known" in line for line in said)
    assert not any("the answer was lost" in line for line in said)


def test_a_signal_after_the_commit_does_not_say_rolled_back(base: Database, wired: Wire, signals: None) -> None:
    base.write(_0001_a=ONCE)

    def end(wired: Wire) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        wired.opened.wait(20)  # for the request to cancel what runs; then the answer is let through

    log = Log("commit", wired, end)
    with pytest.raises(Terminated):
        migrator.run(wired.uri, base.directory, QUIET, log)
    assert log.lines[-1] == "SIGTERM: nothing to roll back; 0001_a.sql is committed"
    assert base.value("SELECT to_regclass('once') IS NOT NULL")


def test_a_signal_before_the_commit_has_happened_says_rolled_back(base: Database, signals: None) -> None:
    base.write(
        _0001_a="""
        CREATE TABLE once (id int);
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(60); RETURN NULL; END$$;
        CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON migrator.migrations DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION wait();
        INSERT INTO once VALUES (1)"""
    )
    runner = base.start()
    runner.wait_for("commit")
    runner.process.send_signal(signal.SIGTERM)
    assert runner.end() == 128 + signal.SIGTERM
    assert "SIGTERM: rolled back 0001_a.sql; the database is as it was" in runner.log
    assert base.value("SELECT to_regclass('once') IS NULL")


def test_where_the_server_is_gone_nobody_says_how_the_commit_ended(base: Database, wired: Wire) -> None:
    base.write(_0001_a=ONCE)
    log = Log("commit", wired, Wire.remove)
    with pytest.raises(DatabaseUnavailable) as caught:
        migrator.run(wired.uri, base.directory, migrator.Settings(connect_budget=1), log)
    assert "whether 0001_a.sql is committed is not known" in caught.value.message
    assert migrator.run(base.uri, base.directory, QUIET).outcome == "unchanged"
