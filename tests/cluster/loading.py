"""What a process of `rollout` loads; imported by the process that those of the tests are forked from (`loaded`)."""

from __future__ import annotations

import importlib
import os

# As the command sets them, before gRPC looks.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

for _name in ("restore", "stack_status", "watch", "wording"):
    importlib.import_module(f"automation.{_name}")
importlib.import_module("automation.program").load()
