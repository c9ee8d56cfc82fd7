from __future__ import annotations

import json

from components.termination_message import TerminationMessage, parse


def test_the_migrators_object_is_read_field_by_field() -> None:
    said = {
        "outcome": "failed",
        "file": "0003_split.sql",
        "line": 7,
        "sqlstate": "22012",
        "statement": "SELECT 1/0\n",
        "message": "division by zero",
        "hint": "look at line 7",
        "blockers": [{"pid": 12, "query": "SELECT 1", "user": ""}],
        "module_version": "1.2.0",
    }
    words = parse(json.dumps(said))
    assert words == TerminationMessage(
        "division by zero",
        "22012",
        "SELECT 1/0",
        "0003_split.sql",
        7,
        "look at line 7",
        ("pid 12, query SELECT 1",),
        "failed",
    )
    assert words.place == "0003_split.sql:7"


def test_nulls_and_wrong_types_are_nothing() -> None:
    assert parse('{"message": "m", "line": null, "sqlstate": 5, "blockers": "x"}') == TerminationMessage("m")


def test_a_foreign_program_is_quoted_with_its_last_line_and_sqlstate() -> None:
    words = parse("starting\nERROR: relation exists (SQLSTATE 42P07)\n")
    assert (words.message, words.sqlstate) == ("ERROR: relation exists (SQLSTATE 42P07)", "42P07")


def test_the_log_speaks_where_the_message_is_empty() -> None:
    assert parse("", ["one", "panic: boom", ""]).message == "panic: boom"


def test_an_object_at_the_end_of_a_log_is_found() -> None:
    assert parse('migrating\n{"outcome": "failed", "message": "boom"}').message == "boom"


def test_a_cut_off_object_is_taken_as_text() -> None:
    assert parse('{"message": "boo').message == '{"message": "boo'


def test_cleaning_reaches_every_text() -> None:
    words = TerminationMessage("a x", statement="b x", hint="c x", blockers=("d x",)).cleaned(
        lambda t: t.replace("x", "-")
    )
    assert words == TerminationMessage("a -", statement="b -", hint="c -", blockers=("d -",))
