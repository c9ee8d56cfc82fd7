"""A program in plain pulumi-kubernetes, with generated names, as an engine previews it: slips are told from what is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.policies.engine import Preview, preview

pytestmark = pytest.mark.slow

pytestmark = pytest.mark.slow  # starts engines as processes of their own


GATE_RULES = {
    "gate",
    "versioned-names",
    "whole-modules",
    "job-bounded",
    "job-labels-disjoint",
    "service-selects-one-version",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Preview:
    return preview(tmp_path_factory.mktemp("shop"), "dev", program=Path(__file__).parent / "shop")


def said(shop: Preview, slip: str) -> dict[str, list[str]]:
    """What the rules about the gate say of one of the program's parts: resource -> messages."""
    found: dict[str, list[str]] = {}
    for rule, name, _, message in shop.violations:
        if rule in GATE_RULES and name.startswith(f"{slip}-"):
            found.setdefault(f"{rule}: {name}", []).append(message)
    return found


def test_a_program_as_it_should_be_is_left_alone(shop: Preview) -> None:
    assert not shop.failed
    assert said(shop, "none") == {}


def test_waiting_for_what_waits_for_the_migration_is_enough(shop: Preview) -> None:
    assert said(shop, "through-config") == {}


@pytest.mark.parametrize(
    ("slip", "who", "what"),
    [
        ("ungated", "gate: ungated-api", "does not wait"),
        ("other-image", "gate: other-image-api", "for another"),
        ("other-image", "whole-modules: other-image-migrate", "no Deployment of that image"),
        ("early-config", "gate: early-config-config", "before the migration"),
        ("by-property", "gate: by-property-api", "made of an output"),
        ("labels", "job-labels-disjoint: labels-migrate", "finds its pods too"),
        ("restarts", "job-bounded: restarts-migrate", "OnFailure"),
    ],
)
def test_a_slip_is_found_where_it_is(shop: Preview, slip: str, who: str, what: str) -> None:
    assert what in str(said(shop, slip)[who])
