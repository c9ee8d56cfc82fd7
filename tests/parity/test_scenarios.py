"""A representative part of `make parity`, on the real cluster with the offline engine."""

from __future__ import annotations

import pytest

from tests.parity import recordings
from tests.parity.compare import differences, unexplained
from tests.parity.runner import Run, found_engines
from tests.parity.scenarios import SCENARIOS

pytestmark = [pytest.mark.cluster, pytest.mark.stacks, pytest.mark.long]


@pytest.mark.parametrize("scenario", [name for name, s in SCENARIOS.items() if s.quick])
def test_the_offline_engine_does_what_the_cli_did(scenario: str) -> None:
    (engine,) = (e for e in found_engines() if e.name == "offline")
    found = differences(recordings.load(scenario), Run(SCENARIOS[scenario], engine)())
    assert [str(d) for d in unexplained(scenario, engine.name, found)] == []
