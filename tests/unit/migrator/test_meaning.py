"""What constraints demand is compared where it can be shown, and nowhere else. The texts are PostgreSQL 15's."""

from __future__ import annotations

import pytest

from migrator.compatibility import meaning


@pytest.mark.parametrize(
    ("old", "new", "old_type", "new_type", "expected"),
    [
        (
            "CHECK (((a)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[])))",
            "CHECK ((a = ANY (ARRAY['x'::text, 'y'::text])))",
            "character varying(3)",
            "text",
            True,
        ),
        ("CHECK (((a)::text ~~ 'x%'::text))", "CHECK ((a ~~ 'x%'::text))", "character varying", "text", True),
        ("CHECK ((a > 0))", "CHECK ((a > (0)::numeric))", "integer", "numeric", True),
        ("CHECK ((a > '-1'::integer))", "CHECK ((a > ('-1'::integer)::numeric))", "bigint", "numeric", True),
        ("CHECK (((a)::numeric > 0.5))", "CHECK ((a > 0.5))", "integer", "numeric", True),
        ("EXCLUDE USING btree (a WITH =)", "EXCLUDE USING btree (a WITH =)", "character varying", "text", True),
        ("CHECK ((a > 0))", "CHECK ((a > 1))", "integer", "integer", False),
        ("CHECK (((a)::integer > 0))", "CHECK ((a > (0)::numeric))", "numeric", "numeric", False),
        ("CHECK (((a / 2) > 1))", "CHECK (((a / (2)::numeric) > (1)::numeric))", "integer", "numeric", False),
        ("CHECK (((a)::text = '1'::text))", "CHECK ((a = '1'::text))", "integer", "text", False),
        ("CHECK (((a)::character varying(2))::text = 'x'::text)", "CHECK ((a = 'x'::text))", "text", "text", False),
        ("CHECK ((length((a)::text) < 3))", "CHECK ((length(a) < 3))", "character varying", "text", True),
        (
            "CHECK ((lower((a)::text) = 'x'::text))",
            "CHECK ((upper(a) = 'x'::text))",
            "character varying",
            "text",
            False,
        ),
        ("CHECK ((a = 'x''::text'::text))", "CHECK ((a = 'x'''::text))", "text", "text", False),
    ],
)
def test_a_printed_form_is_the_same_where_only_harmless_casts_differ(
    old: str, new: str, old_type: str, new_type: str, expected: bool
) -> None:
    assert meaning.same(old, new, {"a": old_type}, {"a": new_type}) is expected


@pytest.mark.parametrize(
    ("known", "wanted", "expected"),
    [
        ("(a > 5)", "(a > 0)", True),
        ("(a > 5)", "(a >= 5)", True),
        ("(a >= 5)", "(a > 5)", False),
        ("(a < 5)", "(a <= 5)", True),
        ("(a < 5)", "(a < 4)", False),
        ("(a < 5)", "(a > 0)", False),
        ("(a > 5)", "(b > 0)", False),
        ("(a > '-5'::integer)", "(a > '-6'::integer)", True),
        ("((a > 5) AND (b > 5))", "(b > 5)", True),
        ("((a > 5) OR (b > 5))", "(b > 5)", False),
        ("(a > 5)", "((a > 5) OR (b = 1))", True),
        ("(a = ANY (ARRAY[1, 2]))", "(a = ANY (ARRAY[1, 2, 3]))", True),
        ("(a = ANY (ARRAY[1, 2, 3]))", "(a = ANY (ARRAY[1, 2]))", False),
        ("(a = 1)", "(a = ANY (ARRAY[1, 2]))", True),
        ("(a = ANY (ARRAY[1, 2]))", "(a > 0)", True),
        ("(a = ANY (ARRAY[1, 2]))", "(a > 1)", False),
        ("(a <> ALL (ARRAY[1, 2]))", "(a <> ALL (ARRAY[1]))", False),  # it does follow, but nothing here shows it
        ("(a = ANY (ARRAY[1, 2]))", "(a IS NOT NULL)", False),  # NULL satisfies the list
        ("(a = ANY (ARRAY[1, 2]))", "((a IS NULL) OR (a > 0))", True),
        ("(n > 0)", "(n >= 1)", True),
        ("(n < 0)", "(n <= '-1'::integer)", True),
        ("(a > 0)", "(a >= 1)", False),  # 0.5
        ("(length(a) < 10)", "(length(a) < 20)", True),
        ("(a IS NOT NULL)", "((a IS NOT NULL) OR (b > 0))", True),
    ],
)
def test_a_demand_follows_from_others_only_where_it_is_seen_to(known: str, wanted: str, expected: bool) -> None:
    parts, wanted_parts = (meaning.demands(f"CHECK ({each})", {"n": "integer"}) for each in (known, wanted))
    assert parts
    assert wanted_parts
    assert all(meaning.follows(each, parts) for each in wanted_parts) is expected


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ("(a > 0)", {"a": None}, "null"),
        ("(a IS NOT NULL)", {"a": None}, "false"),
        ("(a IS NULL)", {"a": None}, "true"),
        ("((a IS NULL) OR (a > 5))", {"a": None}, "true"),
        ("((a IS NOT NULL) AND (b > 5))", {"a": None}, "false"),
        ("((a IS NOT NULL) OR (b > 5))", {"a": None}, "unknown"),
        ("(NOT (a > 5))", {"a": None}, "null"),
        ("(a > b)", {"a": None}, "null"),
        ("(length(a) > 5)", {"a": None}, "null"),
        ("(COALESCE(a, 0) > 5)", {"a": None}, "unknown"),
        ("public.judge(a)", {"a": None}, "unknown"),
        ("(a IS DISTINCT FROM 5)", {"a": None}, "unknown"),
        ("(ARRAY[a] <> '{}'::integer[])", {"a": None}, "unknown"),
        ("(a = ANY (ARRAY['x'::text, 'y'::text]))", {"a": None}, "null"),
        ("(a > 0)", {"a": "0"}, "false"),
        ("(a >= 0)", {"a": "0"}, "true"),
        ("(a = ANY (ARRAY[1, 2]))", {"a": "2"}, "true"),
        ("(a = 'x'::text)", {"a": "'y'"}, "false"),
        ("(a < b)", {"a": "1"}, "unknown"),
    ],
)
def test_what_a_condition_is_for_rows_that_do_not_know_a_column(
    condition: str, values: dict[str, str | None], expected: str
) -> None:
    found = {meaning.truth(each, values) for each in meaning.demands(f"CHECK ({condition})", {}) or ()}
    worst = next((each for each in ("false", "unknown", "null") if each in found), "true")
    assert worst == expected


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("0", "0"),
        ("'-1'::integer", "-1"),
        ("'x'::character varying", "'x'"),
        ("'red'::public.color", "'red'"),
        ("true", "true"),
        ("now()", None),
        ("nextval('s'::regclass)", None),
        ("(1 + 2)", None),
        ("CURRENT_USER", None),
    ],
)
def test_a_default_is_a_literal_or_not(default: str, expected: str | None) -> None:
    assert meaning.literal(default) == expected
