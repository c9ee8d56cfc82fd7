"""What is declared for each kind of module is what was reviewed."""

from __future__ import annotations

import difflib
from functools import cache

import pytest

from settings.catalog import KINDS
from tests.unit.golden.render import HERE, manifests

rendered = cache(manifests)


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifests_are_the_reviewed_ones(kind: str) -> None:
    reviewed, now = (HERE / f"{kind}.yaml").read_text(), rendered()[kind]
    if reviewed != now:
        diff = difflib.unified_diff(reviewed.splitlines(), now.splitlines(), f"{kind}.yaml", "declared", lineterm="")
        pytest.fail(
            "\n".join(["the manifests changed; if that is right: python -m tests.unit.golden.render", *diff]),
            pytrace=False,
        )


@pytest.mark.parametrize("kind", KINDS)
def test_no_credential_is_in_a_manifest(kind: str) -> None:
    assert "canary" not in rendered()[kind]
