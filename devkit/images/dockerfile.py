"""Reads the part of the Dockerfile language that this repository's Dockerfiles use.

The same files build with Docker on public bases. Following them, and refusing whatever is not understood, keeps the two
ways of building from drifting apart.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from devkit.images.errors import DockerfileError

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
KNOWN = {"FROM", "ARG", "ENV", "LABEL", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}


@dataclass(frozen=True)
class Instruction:
    """One instruction with its variables filled in.

    Attributes:
        name: in upper case.
        arguments: words; for ENV and LABEL `NAME=value` each.
        line: where it stands, counted from 1.
    """

    name: str
    arguments: tuple[str, ...]
    line: int

    @property
    def pairs(self) -> dict[str, str]:
        """ENV's and LABEL's names and values."""
        return dict(each.split("=", 1) for each in self.arguments)

    def __str__(self) -> str:
        return shlex.join([self.name, *self.arguments])


def parse(text: str, arguments: Mapping[str, str]) -> list[Instruction]:
    """Reads a Dockerfile.

    Args:
        text: the file.
        arguments: values of its ARGs (`--build-arg`).

    Returns:
        Its instructions, FROM first; ARGs are resolved away.

    Raises:
        DockerfileError: something in it is not followed here.
    """
    instructions: list[Instruction] = []
    variables: dict[str, str] = {}
    for line, name, rest in _lines(text):
        if name not in KNOWN:
            raise DockerfileError(f"line {line}: {name} is not followed here; there are {', '.join(sorted(KNOWN))}")
        if name == "ARG":
            key, has_default, default = rest.partition("=")
            if key in arguments or has_default:
                variables[key] = arguments.get(key, default)
                continue
            raise DockerfileError(f"line {line}: ARG {key} has no default and was not given")
        words = _words(name, rest, line)
        # As Docker does: variables are the builder's in all of these but in RUN, ENTRYPOINT and CMD, where a shell's.
        if name not in ("RUN", "ENTRYPOINT", "CMD"):
            words = tuple(_fill(word, variables, line) for word in words)
        if name in ("ENV", "LABEL") and not all("=" in word for word in words):
            raise DockerfileError(f"line {line}: write {name} NAME=value")
        instructions.append(Instruction(name, words, line))
        if name == "FROM":
            variables = {}
        elif name == "ENV":
            variables |= instructions[-1].pairs
    if not instructions or instructions[0].name != "FROM" or sum(each.name == "FROM" for each in instructions) != 1:
        raise DockerfileError("one FROM, before everything but ARG, is followed here")
    return instructions


def commands(run: Instruction) -> list[list[str]]:
    """Gives the commands of a RUN, joined by `&&`; no other shell syntax is followed.

    Raises:
        DockerfileError: there is some.
    """
    found: list[list[str]] = [[]]
    for word in run.arguments:
        if word == "&&":
            found.append([])
        elif re.search(r"[|;<>$`*?]", word) or word == "&":
            raise DockerfileError(f"line {run.line}: in RUN only commands joined by && are followed, not {word!r}")
        else:
            found[-1].append(word)
    return found


def _lines(text: str) -> list[tuple[int, str, str]]:
    found: list[tuple[int, str, str]] = []
    start, pending = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        start = start or number
        pending += stripped.removesuffix("\\")
        if stripped.endswith("\\"):
            continue
        name, _, rest = pending.partition(" ")
        found.append((start, name.upper(), rest.strip()))
        start, pending = 0, ""
    if pending:
        raise DockerfileError(f"line {start}: the last line ends in a backslash")
    return found


def _words(name: str, rest: str, line: int) -> tuple[str, ...]:
    if name in ("ENTRYPOINT", "CMD"):
        try:
            return tuple(json.loads(rest))
        except ValueError:
            raise DockerfileError(f'line {line}: write {name} as a list, ["..."]: a shell would be PID 1') from None
    try:
        words = tuple(shlex.split(rest))
    except ValueError as error:
        raise DockerfileError(f"line {line}: {error}") from None
    if name in ("COPY", "FROM") and any(word.startswith("--") for word in words):
        raise DockerfileError(f"line {line}: options of {name} are not followed here")
    return words


def _fill(word: str, variables: Mapping[str, str], line: int) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        if name not in variables:
            raise DockerfileError(f"line {line}: the variable {name} is not set; declare it with ARG after FROM")
        return variables[name]

    return _VARIABLE.sub(value, word)
