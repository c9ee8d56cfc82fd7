"""The rules are complete in themselves; what they say of real schemas is tested on PostgreSQL with the corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.compatibility import LEVELS, RULES, reference, types


def test_every_rule_has_an_id_of_its_own_and_says_why_what_instead_and_after_whom() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.level in LEVELS
        assert rule.title
        assert rule.why.endswith(".")
        assert rule.source
        assert bool(rule.instead) == (rule.level != "safe"), rule.id
        assert rule.level == "breaks" or not rule.contraction or rule.level == "risky"


def test_the_documentation_lists_the_rules_as_they_are() -> None:
    documented = Path("docs/compatibility.md").read_text()
    assert documented == reference.text(), "python -m migrator.compatibility.reference > docs/compatibility.md"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("character varying(20)", "character varying(30)", "widened"),
        ("character varying(20)", "character varying", "widened"),
        ("character varying(20)", "text", "widened"),
        ("character varying(20)", "character varying(10)", "narrowed"),
        ("text", "character varying(10)", "narrowed"),
        ("text", "character varying", "widened"),
        ("character varying(20)[]", "character varying(30)[]", "enlarged"),
        ("integer", "bigint", "enlarged"),
        ("bigint", "integer", "narrowed"),
        ("numeric(10,2)", "numeric(12,2)", "widened"),
        ("numeric(10,2)", "numeric", "widened"),
        ("numeric(10,2)", "numeric(12,4)", "enlarged"),
        ("numeric(10,2)", "numeric(10,4)", "narrowed"),
        ("numeric(10,2)", "numeric(10,1)", "narrowed"),
        ("bigint", "numeric(10,0)", "narrowed"),
        ("timestamp(3) with time zone", "timestamp with time zone", "widened"),
        ("timestamp(3) with time zone", "timestamp(0) with time zone", "narrowed"),
        ("timestamp without time zone", "timestamp with time zone", "other"),
        ("character(3)", "character(5)", "other"),
        ("bit(3)", "bit(5)", "other"),
        ("integer", "text", "other"),
        ("public.mood", "text", "other"),
        ("cidr", "inet", "widened"),
        ("xml", "text", "other"),
        ("xml", "character varying", "other"),
        ("text", "xml", "other"),
    ],
)
def test_a_change_of_type_is_told_by_what_it_does_to_values(old: str, new: str, expected: str) -> None:
    assert types.compare(old, new) == expected
