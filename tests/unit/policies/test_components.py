"""Our own components keep every rule, and a break of the gate in them is caught."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies.rule import Violation
from policies.rules import RULES
from policies.values import Program
from tests.unit.policies.components_program import broken, stack
from tests.unit.policies.manifests import judge
from tests.unit.policies.mutations import MUTATIONS, Mutation

STRICT = {"disruption-budget": {"minReplicas": 2}}
DOCS = Path(__file__).resolve().parents[3] / "docs" / "policies.md"


def violated(program: Program) -> dict[str, list[str]]:
    found = {r.name: judge(r, program, **STRICT.get(r.name, {})) for r in RULES if r.level != "disabled"}
    return {name: [f.message if isinstance(f, Violation) else f.path for f in fs] for name, fs in found.items() if fs}


def test_components_violate_nothing() -> None:
    assert violated(stack("ledger", "payments")) == {}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: re.sub(r"\W+", "-", m.what))
def test_a_break_of_the_gate_is_caught(mutation: Mutation) -> None:
    found = violated(broken(stack(), mutation.change))
    assert mutation.rule in found, found


def test_every_mutation_is_in_the_documentation() -> None:
    text = DOCS.read_text()
    assert [m.what for m in MUTATIONS if f"| {m.what} | `{m.rule}` |" not in text] == []
