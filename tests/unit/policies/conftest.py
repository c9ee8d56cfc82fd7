"""The pack host that many tests ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.policies.host import Host, host


@pytest.fixture(scope="session")
def production() -> Iterator[Host]:
    """The real pack host with production's configuration."""
    with host("prod") as running:
        yield running
