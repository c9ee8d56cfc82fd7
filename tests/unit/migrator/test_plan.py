"""What follows from comparing the files with the database's record."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from migrator import files
from migrator.errors import HistoryMismatch
from migrator.files import Migration
from migrator.record import Applied, plan


def migration(number: int, sql: str = "SELECT 1; SELECT 2", name: str = "a") -> Migration:
    return files.parse(f"{number:04}_{name}.sql", sql.encode())


def applied(file: Migration, done: int | None = None) -> Applied:
    count = len(file.statements)
    done = count if done is None else done
    return Applied(file.number, file.name, file.checksum, count, done, file.prefix_checksum(done), done == count)


ONE, TWO, THREE = migration(1), migration(2), migration(3)
ALONE = migration(4, "-- migrate: non-transactional\nSELECT 1; SELECT 2; SELECT 3")


def test_a_new_database_has_everything_pending() -> None:
    found = plan([ONE, TWO], [])
    assert found.pending == (ONE, TWO)
    assert found.before == 0


def test_what_is_applied_is_not_pending() -> None:
    found = plan([ONE, TWO, THREE], [applied(ONE), applied(TWO)])
    assert found.pending == (THREE,)
    assert found.before == 2


def test_a_database_ahead_of_the_files_is_no_error() -> None:
    found = plan([ONE], [applied(ONE), applied(TWO)])
    assert found.pending == ()
    assert found.ahead == (TWO.name,)


def test_files_of_versions_that_went_wrong_do_not_stand_in_the_way_of_later_ones() -> None:
    assert plan([ONE, THREE], [applied(ONE), applied(TWO)]).pending == (THREE,)


def test_a_file_deleted_from_the_middle_is_not_of_a_newer_version() -> None:
    # https://github.com/flyway/flyway/issues/988
    found = plan([ONE, THREE], [applied(ONE), applied(TWO), applied(THREE)])
    assert (found.pending, found.ahead, found.missing) == ((), (), (TWO.name,))


def test_a_file_changed_after_it_was_applied_is_named() -> None:
    with pytest.raises(HistoryMismatch, match=r"0001_a\.sql was changed"):
        plan([migration(1, "SELECT 3")], [applied(ONE)])


def test_another_file_of_the_same_number_is_named() -> None:
    with pytest.raises(HistoryMismatch, match=r"0001_b\.sql here, but 0001_a\.sql"):
        plan([migration(1, name="b")], [applied(ONE)])


def test_a_pending_file_older_than_the_newest_applied_is_refused() -> None:
    with pytest.raises(HistoryMismatch, match=r"0002_a\.sql was never applied"):
        plan([ONE, TWO, THREE], [applied(ONE), applied(THREE)])


def test_an_interrupted_file_is_resumed_where_it_stopped() -> None:
    found = plan([ONE, ALONE], [applied(ONE), applied(ALONE, done=2)])
    assert found.pending == (ALONE,)
    assert found.resumed == {4: 2}
    assert found.before == 1


def test_what_has_not_run_yet_may_be_repaired_in_an_interrupted_file() -> None:
    repaired = migration(4, "-- migrate: non-transactional\nSELECT 1; SELECT 2; SELECT 4")
    assert plan([repaired], [applied(ALONE, done=2)]).resumed == {4: 2}


def test_what_has_run_is_recorded_by_the_checksum_of_its_text() -> None:
    # As earlier versions have recorded it; or nothing that they left interrupted could be resumed.
    assert ALONE.prefix_checksum(0) == hashlib.sha256(b"").hexdigest()
    assert ALONE.prefix_checksum(2) == hashlib.sha256(b"SELECT 1\0SELECT 2").hexdigest()


def test_what_is_left_of_an_interrupted_file_may_be_fewer_statements_than_have_run() -> None:
    with pytest.raises(HistoryMismatch, match="stopped after statement 2 of 3"):
        plan([migration(4, "-- migrate: non-transactional\nSELECT 1")], [applied(ALONE, done=2)])


def test_what_has_run_may_not_be_changed_in_an_interrupted_file() -> None:
    changed = migration(4, "-- migrate: non-transactional\nSELECT 0; SELECT 2; SELECT 3")
    with pytest.raises(HistoryMismatch, match="stopped after statement 2 of 3"):
        plan([changed], [applied(ALONE, done=2)])


def test_the_record_s_order_does_not_matter_for_what_is_newest() -> None:
    rows = [replace(applied(ONE)), applied(TWO)]
    assert plan([ONE, TWO], rows[::-1]).before == 2
