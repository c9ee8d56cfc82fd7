"""The pack as Pulumi runs it: ``pulumi preview --policy-pack policies``."""

import os
import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # this folder is a package, wherever the engine starts it

from pulumi_policy import EnforcementLevel, PolicyPack

from policies.adapter import follow_the_stack, initial_config, policy
from policies.rules import RULES
from policies.unpack import install

install()
# `pulumi policy analyze` names no stack.
config = initial_config(os.environ.get("PULUMI_STACK", ""))
follow_the_stack(config)

PolicyPack(
    "rollout",
    policies=[policy(rule) for rule in RULES],
    enforcement_level=EnforcementLevel.MANDATORY,
    initial_config=config,
)
