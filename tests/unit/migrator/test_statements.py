"""Where a statement ends is what the server would say."""

from __future__ import annotations

import tracemalloc
from typing import SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.concurrently import Detach, Reindex, detach, reindex
from migrator.errors import InvalidMigration
from migrator.statements import split


def texts(sql: str) -> list[str]:
    return [each.text for each in split(sql)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT ';'",
        "SELECT 'it''s; fine'",
        r"SELECT E'a\';b'",
        r"SELECT 'no escape \'",
        'SELECT ";" FROM "a""b;c"',
        "SELECT $$;$$",
        "SELECT $tag$ $$ ; $other$ ; $tag$",
        "SELECT a$b$c FROM t",  # a dollar sign inside a name quotes nothing
        "SELECT /* ; /* nested ; */ ; */ 1",
        "SELECT 1 -- ; a comment\n + 1",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO u VALUES (1); INSERT INTO v VALUES (2))",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
        "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
        "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION begin() RETURNS int LANGUAGE sql BEGIN /* ; */ ATOMIC SELECT 1; END",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END; $$",
        "SELECT U&'d\\0061t;a', B'1', X'ff'",
        "SELECT 1 AS ünï$ö",
        "SELECT jsonb '{\"a\": 1}' ? 'a'",
        "SELECT '{1,2}'::int[]",
    ],
)
def test_semicolons_inside_of_a_statement_do_not_end_it(statement: str) -> None:
    assert texts(f"{statement};\n{statement};SELECT 2") == [statement, statement, "SELECT 2"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_comment_ends_with_its_line_however_lines_end(end: str) -> None:
    assert texts(f"SELECT 1;{end}-- second{end}SELECT 2;{end}") == ["SELECT 1", "SELECT 2"]


def test_what_is_a_space_in_unicode_only_is_part_of_a_name() -> None:
    assert texts("SELECT \u00a0$$; SELECT $$;$$") == ["SELECT \u00a0$$", "SELECT $$;$$"]


def test_comments_and_empty_statements_are_left_out() -> None:
    assert texts("-- only\n;;/* this */; -- and that\n") == []


def test_a_statement_starts_on_the_line_of_its_first_word() -> None:
    sql = "-- one\n\n/* two\nthree */ SELECT\n 1;\n\nSELECT 2; SELECT 3"
    assert [(each.text, each.line) for each in split(sql)] == [("SELECT\n 1", 4), ("SELECT 2", 7), ("SELECT 3", 7)]


def test_the_server_s_error_position_leads_to_a_line_of_the_file() -> None:
    (statement,) = split("\n\nSELECT 1,\n  2,\n  nonsense")
    assert statement.line_at(statement.text.index("nonsense") + 1) == 5


@pytest.mark.parametrize(
    ("sql", "what", "line"),
    [
        ("SELECT 1;\nSELECT 'open", "string", 2),
        ("SELECT E'open", "string", 1),
        ('\n\nSELECT "open', "identifier", 3),
        ("SELECT $x$ open $y$", "dollar", 1),
        ("\n/* open /* */", "comment", 2),
        ("\\set x 1", "psql", 1),
    ],
)
def test_what_is_never_closed_is_named_with_its_line(sql: str, what: str, line: int) -> None:
    with pytest.raises(InvalidMigration, match=what) as caught:
        split(sql)
    assert caught.value.line == line


def test_words_tell_the_kind_of_a_statement_whatever_stands_around_it() -> None:
    (statement,) = split("/* x */ create -- y\n unique /* z */ index concurrently i on t (a)")
    assert statement.words[:4] == ("CREATE", "UNIQUE", "INDEX", "CONCURRENTLY")


@pytest.mark.parametrize("quoted", ["'{}'", "E'{}'", '"{}"', "$${}$$"])
def test_a_long_literal_takes_the_memory_of_its_text(quoted: str) -> None:
    sql = "INSERT INTO t VALUES (" + quoted.format("it is long, and so on; " * 10_000) + ")"
    tracemalloc.start()
    try:
        (statement,) = split(sql)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert statement.text == sql
    assert peak < 4 * len(sql)


def test_lines_are_counted_once_however_many_statements_there_are() -> None:
    class Counted(str):
        counted = 0

        def count(self, sub: str, start: SupportsIndex | None = 0, end: SupportsIndex | None = None) -> int:
            Counted.counted += (len(self) if end is None else int(end)) - int(start or 0)
            return super().count(sub, start, end)

    sql = Counted("SELECT 1;\n" * 100)
    assert [each.line for each in split(sql)] == list(range(1, 101))
    assert Counted.counted <= len(sql)


def test_a_long_statement_is_shortened_for_the_log() -> None:
    (short, long) = split("SELECT\n  1; SELECT " + " 1," * 100_000 + "1")
    assert short.shortened(20) == "SELECT 1"
    assert long.shortened(20) == "SELECT 1, 1, 1, 1, …"
    assert len(split("SELECT" + "\n" * 100_000 + "1")[0].shortened(20)) <= 20


@pytest.mark.parametrize(
    ("sql", "name", "table"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "i", "t"),
        ("create unique index concurrently if not exists /* x */ i\non only s.t using btree (a)", "i", "s.t"),
        ('CREATE INDEX CONCURRENTLY "a.B" ON "S" . "t""x"(a)', '"a.B"', '"S"."t""x"'),
        ("CREATE INDEX CONCURRENTLY ON t (a)", "", "t"),
        ("CREATE INDEX CONCURRENTLY if ON t (a)", "if", "t"),
    ],
)
def test_a_concurrent_index_and_its_table_are_known(sql: str, name: str, table: str) -> None:
    (statement,) = split(sql)
    index = statement.concurrent_index()
    assert index is not None
    assert (index.name, index.table) == (name, table)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX concurrently_i ON t (a)",
        "DROP INDEX CONCURRENTLY i",
        "CREATE INDEX CONCURRENTLY",
        "CREATE INDEX CONCURRENTLY i ON",
    ],
)
def test_nothing_else_is_a_concurrent_index(sql: str) -> None:
    (statement,) = split(sql)
    assert statement.concurrent_index() is None


@pytest.mark.parametrize(
    ("sql", "kind", "name"),
    [
        ("REINDEX INDEX CONCURRENTLY s.i", "INDEX", "s.i"),
        ('reindex table concurrently "T x"', "TABLE", '"T x"'),
        ("REINDEX (VERBOSE, CONCURRENTLY) SCHEMA s", "SCHEMA", "s"),
        ("REINDEX (CONCURRENTLY true, TABLESPACE x) TABLE t", "TABLE", "t"),
        ("REINDEX DATABASE CONCURRENTLY d", "DATABASE", "d"),
    ],
)
def test_what_is_reindexed_concurrently_is_known(sql: str, kind: str, name: str) -> None:
    (statement,) = split(sql)
    assert reindex(statement) == Reindex(kind, name)


@pytest.mark.parametrize(
    "sql", ["REINDEX INDEX i", "REINDEX (CONCURRENTLY false) TABLE t", "CREATE INDEX i ON t (a)", "REINDEX ("]
)
def test_no_other_reindex_is_concurrent(sql: str) -> None:
    (statement,) = split(sql)
    assert reindex(statement) is None


@pytest.mark.parametrize(
    "sql",
    [
        'ALTER TABLE s.t DETACH PARTITION "P".p CONCURRENTLY',
        'alter table if exists only s.t detach partition /* x */ "P".p concurrently',
    ],
)
def test_what_is_detached_concurrently_is_known(sql: str) -> None:
    (statement,) = split(sql)
    assert detach(statement) == Detach("s.t", '"P".p')


@pytest.mark.parametrize(
    "sql", ["ALTER TABLE t DETACH PARTITION p", "ALTER TABLE t DETACH PARTITION p FINALIZE", "ALTER TABLE"]
)
def test_nothing_else_is_detached_concurrently(sql: str) -> None:
    (statement,) = split(sql)
    assert detach(statement) is None


@pytest.mark.parametrize(
    ("sql", "needs", "sets", "made"),
    [
        ("SET search_path TO s", True, True, ""),
        ("SET LOCAL search_path TO s", False, False, ""),
        ("SET CONSTRAINTS ALL DEFERRED", False, False, ""),
        ("SELECT pg_catalog.set_config('search_path', 's', false)", True, True, ""),
        ("SELECT set_config('search_path', current_setting('x'), true)", False, False, ""),
        ("SELECT pg_advisory_lock(1)", True, True, ""),
        ("SELECT pg_advisory_xact_lock(1)", False, False, ""),
        ("PREPARE p AS SELECT 1", True, True, ""),
        ("LISTEN x", True, True, ""),
        ("EXECUTE p", True, False, ""),
        ("SELECT currval('s')", True, False, ""),
        ("CREATE TEMP TABLE IF NOT EXISTS x (a int)", True, False, "x"),
        ('CREATE LOCAL TEMPORARY TABLE "X y" AS SELECT 1', True, False, '"X y"'),
        ("CREATE OR REPLACE TEMP VIEW v AS SELECT 1", True, False, "v"),
        ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", True, False, "f"),
        ("SELECT 1 AS a INTO TEMP TABLE x FROM t", True, False, "x"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", True, False, "c"),
        ("DO $$BEGIN SET search_path = s; END$$", True, False, "*"),
        ("DO $$BEGIN UPDATE t SET a = 1; COMMIT; PERFORM set_config('a.b', 'c', true); END$$", False, False, ""),
        (
            "DO $$BEGIN -- set_config('a', 'b', false)\n UPDATE t SET a = 1; SET LOCAL a.b = 'c'; END$$",
            False,
            False,
            "",
        ),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$SELECT set_config('a', 'b', false)$$", False, False, ""),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", False, False, ""),
        ("VACUUM t", False, False, ""),
        ("CALL p()", False, False, ""),
    ],
)
def test_what_a_statement_has_of_its_session_is_known(sql: str, needs: bool, sets: bool, made: str) -> None:
    (statement,) = split(sql)
    assert (statement.needs_a_session(), statement.sets_the_session(), statement.made()) == (needs, sets, made)


_word = st.text("abcxyz_", min_size=1, max_size=6).filter(lambda text: text.upper() not in ("E", "U"))
_piece = st.one_of(
    _word,
    st.text("ab;'$\n\"-/* ", max_size=12).map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.text("ab;'$\n\"-/* ", min_size=1, max_size=12).map(lambda text: '"' + text.replace('"', '""') + '"'),
    st.text("ab;'\n\"-/* ", max_size=12).map(lambda text: f"$q${text}$q$"),
    st.text("ab;'\n\"$ ", max_size=12).map(lambda text: f"/*{text}*/"),
    st.text("ab;'\"$-/* ", max_size=12).map(lambda text: f"--{text}\n"),
    st.sampled_from(["(a; b)", "1.5e3", "::", "<=", "$1", "[1]"]),
)
_statement = st.tuples(_word, st.lists(_piece, max_size=6), _word).map(
    lambda parts: " ".join([parts[0], *parts[1], parts[2]])
)


@given(st.lists(_statement, max_size=6), st.sampled_from([";", " ;\n", ";\n\n-- between;\n", "; /* ; */"]))
def test_statements_put_together_come_apart_the_same(statements: list[str], separator: str) -> None:
    sql = separator.join(statements)
    found = split(sql)
    assert [each.text for each in found] == statements
    position = 0
    for each in found:
        position = sql.index(each.text, position)
        assert each.line == sql.count("\n", 0, position) + 1
        position += len(each.text)


@given(st.text("aE;'\"$-/*()\n\\ ", max_size=40))
def test_any_text_is_split_or_refused(sql: str) -> None:
    try:
        found = split(sql)
    except InvalidMigration as error:
        found = []
        named = error.line
    else:
        named = 1
    assert named
    assert all(each.text and each.text.strip() == each.text for each in found)
