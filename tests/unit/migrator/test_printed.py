"""What PostgreSQL prints in two forms is one; tests/cluster/migrator/test_fingerprint.py has it printed by a real one."""

from __future__ import annotations

import json

import pytest

from migrator.fingerprint import Object, Snapshot, difference
from migrator.printed import canonical


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (
            "((ARRAY['a'::character varying, 'b'::character varying])::text[])",
            "(ARRAY[('a'::character varying)::text, ('b'::character varying)::text])",
        ),
        (
            "(ARRAY['it''s, ['::character varying, NULL::text])::text[]",
            "ARRAY[('it''s, ['::character varying)::text, (NULL::text)::text]",
        ),
        (r"(ARRAY[E'\\'::character varying])::text[]", r"ARRAY[(E'\\'::character varying)::text]"),
        (
            "(ARRAY[(f(a, b))::timestamp(3) without time zone])::timestamp with time zone[]",
            "ARRAY[((f(a, b))::timestamp(3) without time zone)::timestamp with time zone]",
        ),
        (
            "(ARRAY[ARRAY['a'::text], ARRAY['b'::text]])::character varying(3)[]",
            "ARRAY[ARRAY[('a'::text)::character varying(3)], ARRAY[('b'::text)::character varying(3)]]",
        ),
        ("(ARRAY['a'::text])::public.\"Odd [type\"[]", "ARRAY[('a'::text)::public.\"Odd [type\"]"),
    ],
)
def test_the_cast_of_a_literal_array_is_that_of_its_elements(printed: str, expected: str) -> None:
    assert canonical(printed) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize(
    "printed",
    [
        "(a = ANY (ARRAY['a'::text, 'b'::text]))",
        "'(ARRAY[''a''::text])::text[]'::text",
        "\"(ARRAY['a'::text])::text[]\"",
        "f(ARRAY['a'::text])::text[]",
        "(ARRAY['a'::text])::public.tags",
        "(ARRAY[]::character varying[])::text[]",
        # Where an element is an array, or may be one, the cast reaches it as an array's.
        "(ARRAY[t.a, t.b])::text[]",
        "(ARRAY['{}'::character varying[]])::text[]",
        "(ARRAY['{}'::public.tags])::text[]",
        "(ARRAY[('a'::text || b)])::text[]",
        "(ARRAY['a'::text",
    ],
)
def test_whatever_else_is_printed_stays(printed: str) -> None:
    assert canonical(printed) == printed


def test_a_fingerprint_written_in_the_other_form_compares() -> None:
    def snapshot(definition: str) -> Snapshot:
        return Snapshot(15, (Object("constraint", "public.t.c", "public.t", {"definition": definition}),))

    old, new = snapshot("CHECK ((ARRAY['a'::text])::name[])"), snapshot("CHECK (ARRAY[('a'::text)::name])")
    assert json.loads(old.to_json())["digest"] != new.digest
    assert difference(Snapshot.from_json(old.to_json()), new) == ()
