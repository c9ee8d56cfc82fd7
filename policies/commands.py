"""What a container's command says of migrations: words, as tools have them, and which of them mean the opposite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .values import UNKNOWN, get

_WORD = "migrate"
_COMMANDS = re.compile(r"[;&|\n]+")
_WORDS = re.compile(r"[\s\"'`()]+")
# Parts of a word beside ``migrate`` that make it say something else: --skip-migrate, pre-migrate, migrate:status.
_OPPOSITE = frozenset(
    [
        "no",
        "not",
        "skip",
        "without",
        "disable",
        "pre",
        "post",
        "before",
        "after",
        "for",
        "if",
        "pending",
        "status",
        "list",
    ]
)
_OFF = ("=false", "=no", "=off", "=0")
# Words by which a command of migrations only looks, and by which it talks or waits: a Job of that name may be waited for.
_LOOKS = frozenset(["status", "--dry-run", "--plan", "--check", "--list", "--pretend", "--help"])
_TALKS = frozenset(["echo", "printf", "kubectl", "wait", "job", "jobs"])


@lru_cache(maxsize=4096)  # the rules ask about a program's containers again and again
def says_migrate(line: str) -> bool:
    """Whether one of a line's commands migrates, by a word that has ``migrate`` for a part."""
    return any(
        not _is_quiet(said) and any(named and _OPPOSITE.isdisjoint(parts) for named, parts in map(_parts, said))
        for said in _commands(line)
    )


def changes_nothing(line: str) -> bool:
    """Whether a line is one command that speaks of migrations and does none, such as ``migrate status``."""
    commands = _commands(line)
    one = len(commands) == 1 and any(named for named, _ in map(_parts, commands[0]))
    return one and _TALKS.isdisjoint(commands[0]) and not says_migrate(line)


def text(container: Mapping[str, Any]) -> str:
    """A container's command and arguments as far as they are known, as a line of a shell."""
    lists = (list(get(container, key) or ()) for key in ("command", "args"))
    return " ".join(str(word) for several in lists for word in several if word is not UNKNOWN)


def _commands(line: str) -> list[list[str]]:
    """The words of each command of a shell's line, where it says anything of migrations."""
    if _WORD not in line.lower():
        return []
    return [[word for word in _WORDS.split(command) if word] for command in _COMMANDS.split(line.lower())]


def _is_quiet(said: list[str]) -> bool:
    return _looks(said) or any(word in _TALKS or word.startswith(("job/", "job.")) for word in said)


def _looks(said: list[str]) -> bool:
    return any(word.removesuffix("=true") in _LOOKS for word in said)


def _parts(word: str) -> tuple[bool, frozenset[str]]:
    """Whether a word names migrations, and what it is made of."""
    parts = frozenset(re.split(r"[^a-z0-9]+", word))
    named = bool(parts & {_WORD, f"auto{_WORD}"})
    return named and "://" not in word and not word.endswith(_OFF), parts
