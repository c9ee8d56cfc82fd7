"""What counts as a migration, and what is refused before anything is tried."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migrator import files
from migrator.errors import InvalidMigration


def test_files_come_in_the_order_of_their_numbers_from_all_directories(tmp_path: Path) -> None:
    for name in ("a/0010_late.sql", "b/0002_early.sql", "a/9.txt", "b/10000_last.sql"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("SELECT 1")
    found = files.read([tmp_path / "a", tmp_path / "b"])
    assert [each.name for each in found] == ["0002_early.sql", "0010_late.sql", "10000_last.sql"]


def test_line_endings_and_a_byte_order_mark_do_not_change_the_checksum() -> None:
    unix = files.parse("0001_a.sql", b"SELECT 1;\nSELECT 2;\n")
    windows = files.parse("0001_a.sql", b"\xef\xbb\xbfSELECT 1;\r\nSELECT 2;\r\n")
    assert unix.checksum == windows.checksum
    assert unix.checksum != files.parse("0001_a.sql", b"SELECT 1;\nSELECT 3;\n").checksum


def test_the_marker_makes_a_file_non_transactional() -> None:
    assert files.parse("0001_a.sql", b"SELECT 1").transactional
    assert not files.parse("0001_a.sql", b"-- why\n-- migrate: non-transactional\nSELECT 1").transactional


@pytest.mark.parametrize(
    "content",
    [
        b"/* such as\n-- migrate: non-transactional\n*/\nSELECT 1",
        b"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\n-- migrate: old rows first\nBEGIN END $$",
        b"SELECT '\n-- migrate: non-transactional\n'",
        b"CREATE TABLE t (\n-- migrate: to bigint one day\nid int)",
    ],
)
def test_only_a_comment_before_the_first_statement_is_a_marker(content: bytes) -> None:
    assert files.parse("0001_a.sql", content).transactional


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("1_a.sql", b"SELECT 1", "not named"),
        ("0001-a.sql", b"SELECT 1", "not named"),
        ("0001_A.sql", b"SELECT 1", "not named"),
        ("0001_a.SQL", b"SELECT 1", "not named"),
        ("0001_a.sql", b"-- nothing\n", "no statement"),
        ("0001_a.sql", b"SELECT '\xff'", "UTF-8"),
        ("0001_a.sql", b"SELECT 1;\nDELETE FROM t\0 WHERE id = 1", "line 2: a NUL"),
        ("0001_a.sql", b"-- migrate: whatever\nSELECT 1", "unknown marker"),
        ("0001_a.sql", b"SELECT 1;\n-- migrate: non-transactional\nSELECT 1", "after the first statement"),
        ("0001_a.sql", b"SELECT 1,\n-- migrate: non-transactional\n2", "after the first statement"),
        ("0001_a.sql", b"SELECT 1;\nCOMMIT;", "line 2: COMMIT"),
        ("0001_a.sql", b"begin;", "BEGIN"),
        ("0001_a.sql", b"START TRANSACTION", "START"),
        ("0001_a.sql", b"ROLLBACK", "ROLLBACK"),
        ("0001_a.sql", b"PREPARE TRANSACTION 'x'", "PREPARE"),
        ("0001_a.sql", b"COPY t FROM STDIN", "COPY"),
    ],
)
def test_a_file_that_cannot_be_run_is_refused(name: str, content: bytes, reason: str) -> None:
    with pytest.raises(InvalidMigration, match=reason) as caught:
        files.parse(name, content)
    assert caught.value.file == name


@pytest.mark.parametrize("statement", [b"ROLLBACK TO SAVEPOINT a", b"PREPARE p AS SELECT 1", b"SAVEPOINT a"])
def test_statements_that_only_look_like_an_end_of_the_transaction_are_fine(statement: bytes) -> None:
    assert files.parse("0001_a.sql", statement).statements


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0001_b.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(InvalidMigration, match="same number"):
        files.read(tmp_path)


def test_a_directory_without_migrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidMigration, match="no migrations"):
        files.read(tmp_path)
    with pytest.raises(InvalidMigration, match="not a directory"):
        files.read(tmp_path / "missing")


def test_what_is_named_like_a_migration_and_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / "0002_b.sql").mkdir()
    with pytest.raises(InvalidMigration, match=r"0002_b\.sql cannot be read: Is a directory") as caught:
        files.read(tmp_path)
    assert caught.value.file == "0002_b.sql"


def test_a_name_that_is_no_text_is_shown_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"0002_\xff.sql")).write_text("SELECT 1")
    with pytest.raises(InvalidMigration, match="is not named") as caught:
        files.read(tmp_path)
    assert caught.value.file == r"0002_\xff.sql"
    assert caught.value.message.encode()
    with pytest.raises(InvalidMigration, match="not a directory") as caught:
        files.read(tmp_path / os.fsdecode(b"\xff"))
    assert caught.value.message.encode()


def test_an_ending_in_capitals_is_no_reason_to_leave_a_file_out(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / "0002_b.SQL").write_text("SELECT 1")
    with pytest.raises(InvalidMigration, match=r"0002_b\.SQL is not named"):
        files.read(tmp_path)


def test_what_looks_like_a_migration_and_is_not_run_is_named(tmp_path: Path) -> None:
    for name in (
        "0001_a.sql",
        "0002_b.sql.bak",
        "0003_c.txt",
        "d.pgsql",
        "later/deep/0004_d.sql",
        "img/a.png",
        "README.md",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("SELECT 1")
    assert [each.name for each in files.read(tmp_path)] == ["0001_a.sql"]
    assert files.skipped(tmp_path) == ["0002_b.sql.bak", "0003_c.txt", "d.pgsql", "later/"]


def test_a_folder_that_is_given_itself_and_a_config_map_s_own_are_no_news(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "more/0002_b.sql", "..2026_11_30/0001_a.sql"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("SELECT 1")
    (tmp_path / "..data").symlink_to("..2026_11_30")
    assert files.skipped([tmp_path, tmp_path / "more"]) == []
