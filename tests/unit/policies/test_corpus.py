"""The corpus is judged as it should be, and the docs say how many programs there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.policies.corpus import Case, cases, refused

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "policies.md").read_text()
CASES = list(cases())


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{'good' if c.good else 'bad'}: {c.name}"[:60])
def test_a_program_is_judged_as_it_should_be(case: Case) -> None:
    assert bool(refused(case.program())) is not case.good


def test_the_docs_have_the_numbers() -> None:
    good, bad = (sum(c.good is kind for c in CASES) for kind in (True, False))
    assert min(good, bad) >= 150
    assert f"| bad programs refused | {bad} of {bad} |" in TEXT
    assert f"| good programs accepted | {good} of {good} |" in TEXT


def test_no_program_is_counted_twice() -> None:
    assert len({(c.name, c.good) for c in CASES}) == len(CASES)
