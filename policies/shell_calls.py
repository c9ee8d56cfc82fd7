"""How a shell is called: with a script, a file or neither, and with which flags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .runners import program_of

SHELLS = frozenset(["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"])


class CalledShell(NamedTuple):
    """A shell that is called.

    Args:
        flags: such as ``-e``.
        script: what it is given by ``-c``.
        file: the script that it runs; empty where it has none.
        arguments: of the script, None where they are not known.
        idle: it reads the script only.
        forgets: its failure is not that of the program which runs it.
    """

    flags: list[str]
    script: str | None = None
    file: str = ""
    arguments: tuple[str, ...] | None = ()
    idle: bool = False
    forgets: bool = False


def called_shell(words: Sequence[str]) -> CalledShell | None:
    """The shell that a command is, also that of another user (``su app -c``) or in a terminal (``script -c``)."""
    name = program_of(words)
    if name in ("su", "runuser", "script", "flock"):
        return _shell_of_another(name, words)
    if name not in SHELLS:
        return None
    flags: list[str] = []
    commands, n = False, 1
    while n < len(words) and re.match(r"[-+].", words[n]):
        flag = words[n]
        n += 1
        if flag == "--":
            break
        if flag.startswith("--"):
            n += flag in ("--rcfile", "--init-file")
            continue
        commands |= flag.startswith("-") and "c" in flag
        if "O" not in flag:
            flags += [
                flag.replace("c", "") if flag.startswith("-") else flag,
                *(words[n : n + 1] if "o" in flag else ()),
            ]
        n += bool(re.search("[oO]", flag))
    flags = [flag for flag in flags if flag != "-"]
    left = list(words[n:])
    idle = any(re.fullmatch(r"-[a-z]*n[a-z]*", flag) for flag in flags)
    if commands:
        return CalledShell(flags, left[0] if left else "", arguments=tuple(left[2:]), idle=idle)
    if any(re.fullmatch(r"-[a-z]*s[a-z]*", flag) for flag in flags) or not left:
        return CalledShell(flags, arguments=tuple(left), idle=idle)
    return CalledShell(flags, file=left[0], arguments=tuple(left[1:]), idle=idle)


def _shell_of_another(name: str, words: Sequence[str]) -> CalledShell | None:
    for n, word in enumerate(words[1:-1], 1):
        if re.fullmatch(r"-[A-Za-z]*c|--command", word):
            told = " ".join(word for word in words[1:n] if word.startswith("-"))
            forgets = name == "script" and not re.search(r"(?:^|\s)(?:-\w*e|--return)", f"{told} {word}")
            return CalledShell([], words[n + 1], arguments=None, forgets=forgets)
    return None


def flags_of_file(text: str) -> list[str] | None:
    """The flags of the shell that runs a file which is called by its name; None where no shell does."""
    first = text.partition("\n")[0]
    if not first.startswith("#!"):
        return []  # the shell that calls it runs it itself
    by = first[2:].split()
    if by and by[0].endswith("/env"):
        by = [word for word in by[1:] if word != "-S"]
    if program_of(by) not in SHELLS:
        return None
    return by[1:]
