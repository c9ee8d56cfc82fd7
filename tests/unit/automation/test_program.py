from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine

import pulumi
import pytest
from pulumi.runtime.settings import SETTINGS

from automation.program import Overlay, _settled

CONFIG = {
    "rollout:modules": json.dumps({"ledger": {"version": "1.0.0"}, "wallets": {"version": "2.0.0"}}),
    "aws:region": "x",
}


def modules(config: dict[str, str]) -> dict[str, dict[str, object]]:
    return json.loads(config["rollout:modules"])  # type: ignore[no-any-return]


def test_versions_and_downgrades_are_laid_over_the_configuration() -> None:
    laid = Overlay({"ledger": "1.1.0"}, allow_downgrade=True).onto(CONFIG)
    assert modules(laid) == {
        "ledger": {"version": "1.1.0", "allowDowngrade": True},
        "wallets": {"version": "2.0.0", "allowDowngrade": True},
    }
    assert laid["aws:region"] == "x"
    assert modules(CONFIG)["ledger"] == {"version": "1.0.0"}


def test_without_an_overlay_nothing_changes() -> None:
    assert Overlay().onto(CONFIG) == CONFIG


def test_what_is_no_map_of_modules_is_left_for_the_settings_to_refuse() -> None:
    assert Overlay({"ledger": "1.1.0"}).onto({"rollout:modules": "nonsense"}) == {"rollout:modules": "nonsense"}


# In a process of its own: what another test has loaded is loaded.
_LOADED_LATE = """
import sys
from automation.program import load

def loaded():
    lazy = {name for name, module in sys.modules.items() if type(module).__name__ == "_LazyModule"}
    return {name for name in sys.modules if name.startswith("pulumi") and name not in lazy}

load()
before = loaded()
from tests.unit.components.declared import declare
from tests.unit.full_stack import STACK
found = declare(**STACK)
assert len(found) > 100, len(found)
print(*sorted(loaded() - before))
"""


@pytest.mark.slow
def test_a_program_finds_all_of_the_sdk_loaded_that_it_uses() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED_LATE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


# --- the end of the program -------------------------------------------------------------------------------------------


def settled(*answers: Callable[[], Coroutine[None, None, int]]) -> list[bool]:
    """Waits for outputs that are known once these have answered. Returns which of them have."""

    async def run() -> list[bool]:
        outputs: list[pulumi.Output[int]] = [pulumi.Output.from_input(answer()) for answer in answers]
        await asyncio.wait_for(_settled(), timeout=5)
        ended = [output._data.done() for output in outputs]
        for left in SETTINGS.outputs:
            left.cancel()
        await asyncio.gather(*SETTINGS.outputs, return_exceptions=True)
        SETTINGS.outputs.clear()
        return ended

    return asyncio.run(run())


async def _soon() -> int:
    await asyncio.sleep(0.01)
    return 1


async def _fails() -> int:
    await asyncio.sleep(0.01)
    raise RuntimeError("the engine said no")


async def _never() -> int:
    return await asyncio.Future[int]()


def test_the_program_ends_when_every_output_is_known() -> None:
    assert settled(_soon, _soon) == [True, True]


def test_the_program_waits_for_nothing_more_once_an_output_has_failed() -> None:
    assert settled(_never, _fails) == [False, True]
