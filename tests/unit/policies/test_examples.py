"""Every rule tells its two examples apart, and explains itself."""

from __future__ import annotations

import pytest

from policies.rule import ResourceRule, StackRule, Violation
from policies.rules import RULES
from tests.unit.policies.manifests import judge, program

EACH = pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)


@EACH
def test_the_passing_example_passes(rule: ResourceRule | StackRule) -> None:
    assert judge(rule, program(rule.examples.passes)) == []


@EACH
def test_the_failing_example_fails_with_a_message_that_names_a_resource_and_a_remedy(
    rule: ResourceRule | StackRule,
) -> None:
    found = judge(rule, program(rule.examples.fails))
    assert found
    for f in found:
        assert isinstance(f, Violation)
        if rule.checks:
            assert "'" in f.message.partition(":")[0]
            assert f.message.count(". ") >= 1, "what is wrong. What to write instead."


def test_names_are_unique_and_every_option_has_a_default_and_a_description() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.reason
        assert rule.description.endswith(".")
        for schema in rule.options.values():
            assert {"type", "default", "description"} <= schema.keys()
