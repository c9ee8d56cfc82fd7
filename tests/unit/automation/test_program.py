from __future__ import annotations

import json
import subprocess
import sys

import pytest

from automation.program import Overlay

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
