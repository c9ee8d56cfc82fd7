"""One run at a time in a process."""

from __future__ import annotations

import pytest

from automation.errors import AlreadyRunning
from automation.rollout import alone


def test_a_second_run_in_the_process_is_refused_and_told_what_to_do() -> None:
    with alone(), pytest.raises(AlreadyRunning, match="process of its own"), alone():
        pass
    with alone():
        pass
