"""How strictly each rule is held, and with which options, per environment: ``config/<environment>.json``.

A stack is of the environment that its name is or begins with: ``dev-alice`` is held to ``dev.json``, and any other to
``prod.json``.

The files have the form of the engine's ``--policy-pack-config``: rule -> level, or an object of options with an
``enforcementLevel``; ``all`` is the level of every rule that has none of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rules import RULES

CONFIG = Path(__file__).parent / "config"
LEVELS = ("advisory", "mandatory", "remediate", "disabled")


@dataclass(frozen=True)
class Level:
    """One rule in one environment."""

    level: str
    options: Mapping[str, Any]


def levels(stack: str) -> dict[str, Level]:
    """The level and options of every rule for a stack.

    Raises:
        ValueError: the file is not JSON, or names a rule, an option or a level that does not exist.
    """
    name = stack.rpartition("/")[2]
    candidates = [CONFIG / f"{environment}.json" for environment in (name, name.partition("-")[0], "prod")]
    file = next((f for f in candidates if f.is_file()), candidates[-1])
    content = json.loads(file.read_text())
    unknown = content.keys() - {rule.name for rule in RULES} - {"all"}
    if unknown:
        raise ValueError(f"policies/config/{file.name} names rules that do not exist: {', '.join(sorted(unknown))}")
    found = {}
    for rule in RULES:
        value = content.get(rule.name, {})
        options = {} if isinstance(value, str) else dict(value)
        level = value if isinstance(value, str) else options.pop("enforcementLevel", content.get("all", rule.level))
        if level not in LEVELS or options.keys() - rule.options.keys():
            allowed = f"levels: {', '.join(LEVELS)}; options of {rule.name}: {', '.join(rule.options) or 'none'}"
            raise ValueError(
                f"policies/config/{file.name}: {rule.name}: {json.dumps(value)} is not known. Allowed {allowed}"
            )
        found[rule.name] = Level(level, options)
    return found
