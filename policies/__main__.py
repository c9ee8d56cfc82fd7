"""The pack as Pulumi runs it: ``pulumi preview --policy-pack policies``."""

import os
import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # this folder is a package, wherever the engine starts it

from pulumi_policy import EnforcementLevel, PolicyPack

from policies.adapter import initial_config, policy
from policies.rules import RULES
from policies.unpack import install

install()

PolicyPack(
    "rollout",
    policies=[policy(rule) for rule in RULES],
    enforcement_level=EnforcementLevel.MANDATORY,
    initial_config=initial_config(os.environ.get("PULUMI_STACK", "")),
)
