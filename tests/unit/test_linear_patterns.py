"""Every regular expression, asked as the code asks it, takes linear time: twice the text, about twice the time.

`test_linear_time.py` feeds the readers of foreign text as a whole; this finds the pattern that a new reader will use wrongly.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOMS = ("policies", "migrator", "automation", "components", "settings", "ci")
CALLS: dict[str, Callable[[re.Pattern[str], str], object]] = {
    "search": lambda pattern, text: pattern.search(text),
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "finditer": lambda pattern, text: list(pattern.finditer(text)),
    "findall": lambda pattern, text: pattern.findall(text),
    "split": lambda pattern, text: pattern.split(text),
    "sub": lambda pattern, text: pattern.sub("", text),
}
# What repeats: each kind of character, and what several kinds make of one another.
UNITS = (
    *"aA0 =:/-_.'\"$({\\\n@,", "set ", "a=", "a:b ", "//a", "--a ", "$(a", "${a", "a.b/", "\t ", "a\n", "'a", "x'y", "ab12", "Password=", "://a:",
)  # fmt: skip
LENGTH = 20_000
# Seconds of processor time for LENGTH characters: of a linear pattern a hundredth of it, of a quadratic one twenty times as much.
BOUND = 0.25


def modules(name: str) -> Iterator[ModuleType]:
    module = importlib.import_module(name)
    yield module
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if found.name != "__main__":
            yield from modules(f"{name}.{found.name}")


def asked() -> dict[tuple[str, str, str], re.Pattern[str]]:
    """Module, name and method -> pattern, of each call of a pattern that has a name in its module."""
    calls = {}
    for room in ROOMS:
        for module in (each for each in modules(room) if each.__file__):
            for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Attribute) and node.attr in CALLS and isinstance(node.value, ast.Name)):
                    continue
                pattern = getattr(module, node.value.id, None)
                if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
                    calls[module.__name__, node.value.id, node.attr] = pattern
    return calls


ASKED = asked()


def test_the_patterns_are_found() -> None:
    assert len(ASKED) > 100


@pytest.mark.measures
@pytest.mark.parametrize("call", sorted(ASKED), ids=".".join)
def test_a_pattern_takes_linear_time(call: tuple[str, str, str]) -> None:
    pattern, ask = ASKED[call], CALLS[call[2]]
    for unit in UNITS:
        for end in ("", "\x00"):
            text = unit * (LENGTH // 10 // len(unit)) + end
            began = time.process_time()
            ask(pattern, text)
            assert time.process_time() - began < BOUND / 10, f"{len(text)} characters of {unit!r}"
            text = unit * (LENGTH // len(unit)) + end
            began = time.process_time()
            ask(pattern, text)
            assert time.process_time() - began < BOUND, f"{len(text)} characters of {unit!r}"
