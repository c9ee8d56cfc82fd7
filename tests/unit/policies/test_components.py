"""Our own components keep every rule, and a break of the gate in them is caught by the real pack host."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.unit.policies.components_program import broken, many, stack
from tests.unit.policies.host import Host, host
from tests.unit.policies.mutations import MUTATIONS, Mutation


@pytest.fixture(scope="module")
def production() -> Iterator[Host]:
    with host("prod") as running:
        yield running


def test_components_violate_nothing_in_production(production: Host) -> None:
    assert production.judge(stack("ledger", "payments")) == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: re.sub(r"\W+", "-", m.what))
def test_a_break_of_the_gate_is_caught_in_production(mutation: Mutation, production: Host) -> None:
    found = production.judge(broken(stack(), mutation.change))
    assert mutation.rule in {d.rule for d in found if d.mandatory}, found


def test_a_hundred_modules_take_the_pack_less_than_two_seconds(production: Host) -> None:
    program, begun = many(100), production.cpu_seconds()
    assert production.judge(program) == []
    assert production.cpu_seconds() - begun < 2
