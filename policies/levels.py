"""How strictly each rule is held, and with which options, per environment: ``config/<environment>.json``.

A stack is of the environment that its name is or begins with: ``dev-alice`` is held to ``dev.json``, and any other, also one
that names two environments (``dev-prod``, ``dev-PROD``, ``dev-live``), to ``prod.json``.

The files have the form of the engine's ``--policy-pack-config``: rule -> level, or an object of options with an
``enforcementLevel``; ``all`` is the level of every rule that has none of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rule import Rule
from .rules import RULES

CONFIG = Path(__file__).parent / "config"
LEVELS = ("advisory", "mandatory", "remediate", "disabled")
# The JSON schema types of options.
_FORMS = {
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "string": ("a text", (str,)),
    "array": ("a list of texts", (list,)),
    "boolean": ("true or false", (bool,)),
}


class InvalidConfig(ValueError):
    """A file in ``config/`` cannot be used; the message has its name and what is allowed."""


@dataclass(frozen=True)
class Level:
    """One rule in one environment."""

    level: str
    options: Mapping[str, Any]


# What else than the files' names an environment is called where others depend on it.
_ENVIRONMENTS = re.compile(r"(pre|post)?(prod|prd|production|live)\d*|stag(e|ing)\d*|stg\d*|uat\d*|acceptance")


def _is_an_environment(word: str) -> bool:
    return (CONFIG / f"{word.lower()}.json").is_file() or _ENVIRONMENTS.fullmatch(word.lower()) is not None


def file_of(stack: str) -> Path:
    """The file of a stack's environment."""
    name = stack.rpartition("/")[2]
    first, *others = re.split(r"[-_.]", name)
    # dev-prod may be either, and so may dev-live: the stricter one.
    beginning = "prod" if any(map(_is_an_environment, others)) else first
    candidates = [CONFIG / f"{environment}.json" for environment in (name, beginning, "prod")]
    return next((f for f in candidates if f.is_file()), candidates[-1])


def levels(stack: str) -> dict[str, Level]:
    """The level and options of every rule for a stack.

    Raises:
        InvalidConfig: the file is not JSON, names a rule, an option or a level that does not exist, or gives an option a value of
            another form.
    """
    file = file_of(stack)
    where = f"policies/config/{file.name}"
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise InvalidConfig(f"{where} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidConfig(f"{where} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InvalidConfig(f"{where}: must map rules to levels, and is a {type(content).__name__}")
    unknown = content.keys() - {rule.name for rule in RULES} - {"all"}
    if unknown:
        raise InvalidConfig(f"{where} names rules that do not exist: {', '.join(sorted(unknown))}")
    every = content.get("all", "")
    if every not in ("", *LEVELS):
        raise InvalidConfig(f"{where}: all: {json.dumps(every)} is not a level. Allowed: {', '.join(LEVELS)}")
    return {rule.name: _level(rule, content.get(rule.name, {}), every or rule.level, where) for rule in RULES}


def _level(rule: Rule, value: Any, otherwise: str, where: str) -> Level:
    options = {} if isinstance(value, str) else dict(value) if isinstance(value, dict) else None
    level = value if isinstance(value, str) else (options or {}).pop("enforcementLevel", otherwise)
    if options is None or level not in LEVELS or options.keys() - rule.options.keys():
        allowed = f"levels: {', '.join(LEVELS)}; options of {rule.name}: {', '.join(rule.options) or 'none'}"
        raise InvalidConfig(f"{where}: {rule.name}: {json.dumps(value)} is not known. Allowed {allowed}")
    for name, given in options.items():
        schema = rule.options[name]
        form, kinds = _FORMS[schema["type"]]
        of_texts = not isinstance(given, list) or all(isinstance(each, str) for each in given)
        if type(given) not in kinds or not of_texts or given not in schema.get("enum", (given,)):
            wanted = " or ".join(schema["enum"]) if "enum" in schema else form
            raise InvalidConfig(f"{where}: {rule.name}.{name} must be {wanted}, not {json.dumps(given)}")
    return Level(level, options)
