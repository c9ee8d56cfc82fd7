"""The pack finds nothing wrong with a stack that has a module of every kind, in any environment."""

from __future__ import annotations

from typing import Any

import pytest

from automation.declared import declared
from policies.judge import judge
from tests.unit.full_stack import MODULES, STACK, load

pytestmark = pytest.mark.slow  # declares a hundred objects again and again

AUTOSCALED = {"replicas": 2, "autoscaling": {"maxReplicas": 6, "cpuPercent": 70}, "topologySpread": True}


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"networkPolicies": True, "defaults": AUTOSCALED}, {"postgres": {"uri": "postgresql://u:canary@h"}}],
    ids=["as it comes", "autoscaled", "encrypted password"],
)
def test_a_full_stack_keeps_every_rule(environment: str, changes: dict[str, Any]) -> None:
    modules = {name: {"replicas": 3, **module} for name, module in MODULES.items()}
    defaults = {"backup": "pvc", **changes.get("defaults", {})}
    stack = load({**STACK, "modules": modules, **changes, "defaults": defaults})
    assert judge(declared(stack), environment) == []
