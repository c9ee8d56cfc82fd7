"""What is declared for each kind of module is what was reviewed."""

from __future__ import annotations

import difflib
from functools import cache

import pytest

from settings.catalog import KINDS
from tests.unit.golden.render import HERE, manifests

rendered = cache(manifests)
FILES = (*KINDS, "aws")


@pytest.mark.parametrize("name", FILES)
def test_the_manifests_are_the_reviewed_ones(name: str) -> None:
    reviewed, now = (HERE / f"{name}.yaml").read_text(), rendered()[name]
    if reviewed != now:
        diff = difflib.unified_diff(reviewed.splitlines(), now.splitlines(), f"{name}.yaml", "declared", lineterm="")
        pytest.fail(
            "\n".join(["the manifests changed; if that is right: python -m tests.unit.golden.render", *diff]),
            pytrace=False,
        )


@pytest.mark.parametrize("name", FILES)
def test_no_credential_is_in_a_manifest(name: str) -> None:
    assert "canary" not in rendered()[name]
