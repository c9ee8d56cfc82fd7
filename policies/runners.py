"""Programs that run another: what is run in the end, with which settings, and whether its failure is theirs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Programs that run another, and their flags that take the next word.
_TAKES = {
    name: _words(flags)
    for name, flags in {
        "busybox": "",
        "catatonit": "",
        "catchsegv": "",
        "chpst": "-u -U -b -e -/ -n -l -L -m -d -o -p -f -c",
        "chroot": "",
        "chronic": "",
        "coproc": "",
        "command": "",
        "builtin": "",
        "daemonize": "-a -c -e -o -p -l -u -E",
        "doas": "-u -C",
        "dumb-init": "-r --rewrite",
        "eatmydata": "",
        "env": "-u -C --unset --chdir",
        "envconsul": "-config -prefix -secret",
        "envdir": "",
        "exec": "-a",
        "faketime": "",
        "flock": "-w -E --timeout --wait --conflict-exit-code",
        "gosu": "",
        "ionice": "-c -n --class --classdata",
        "nice": "-n --adjustment",
        "nohup": "",
        "retry": "-t -d --times --delay",
        "runuser": "-u -g -G --user --group",
        "setpriv": "--reuid --regid --groups --inh-caps --ambient-caps --bounding-set",
        "setsid": "",
        "setuidgid": "",
        "softlimit": "-m -d -s -l -a -o -p -f -c -r -t",
        "start-stop-daemon": "-x -p -u -n -c -g -k -d -N --exec --pidfile --user --name --chuid --group --chdir --startas -a",
        "stdbuf": "-i -o -e --input --output --error",
        "strace": "-o -e -s -u -E",
        "su-exec": "",
        "sudo": "-u -g -h -p -C -r -t -U -T -D --user --group --prompt --chdir",
        "systemd-run": "-p -u -E --property --unit --setenv --uid --gid",
        "taskset": "",
        "time": "-f -o --format --output",
        "timeout": "-s -k --signal --kill-after",
        "tini": "-p -e",
        "toybox": "",
        "unbuffer": "",
        "vault-env": "",
        "xargs": "-n -I -P -L -s -d -E -a --max-args --max-procs --max-lines --replace --delimiter --arg-file",
    }.items()
}
# Those whose first argument is no program's name: a user, a folder, a file, processors, a time.
_TAKE_A_NAME = _words("gosu su-exec setuidgid chroot envdir flock taskset faketime")
# Programs that wait or ask, and then run another.
_THEN = _words("wait-for wait-for.sh wait-for-it wait-for-it.sh wait_for.sh dockerize")
_SETTING = re.compile(r"[A-Za-z_]\w*=")
_SPLITS = 4  # texts of env -S in each other
_TIME = re.compile(r"\d+(?:\.\d+)?[smhd]?")
LEAVES = "leaves the command in the background"
FORGETS = "ends well whatever becomes of the command"


class Unwrapped(NamedTuple):
    """What is run in the end.

    Args:
        words: of the program.
        settings: the variables that it is given, as ``NAME=value``.
        hides: how its failure is lost; empty where it is not.
    """

    words: list[str]
    settings: tuple[str, ...] = ()
    hides: str = ""


def program_of(words: Sequence[str]) -> str:
    """The name of a program: without its folder, its version and what says the language it is written in."""
    if not words:
        return ""
    name = words[0].rpartition("/")[2].lower()
    name = name.partition("@")[0] if name.partition("@")[0] else name
    return (
        name
        if name in ("manage.py", "wait-for-it.sh", "wait-for.sh", "wait_for.sh")
        else re.sub(r"\.(?:js|mjs|cjs|exe|phar)$", "", name)
    )


def unwrapped(words: Sequence[str]) -> Unwrapped:
    """The program that is run in the end."""
    left, settings, hides = list(words), [], ""
    at = split = 0
    while at < len(left):
        if _SETTING.match(left[at]):
            settings.append(left[at])
            at += 1
            continue
        name = program_of(left[at : at + 1])
        if name in _THEN and "--" in left[at:]:
            at = left.index("--", at) + 1
            continue
        if name == "dockerize":
            at += 1
            while at < len(left) and left[at].startswith("-"):
                at += 1 if "=" in left[at] else 2
            continue
        if name not in _TAKES or at + 1 == len(left):
            break
        flags, then = _flags(name, left, at + 1)
        if name == "runuser" and {"-u", "--user"}.isdisjoint(flags):
            break  # it calls a shell, as su does
        if name == "flock" and left[then + 1 : then + 2] in (["-c"], ["--command"]):
            break
        if name == "command" and any(re.fullmatch(r"-p?[vV]", flag) for flag in flags):
            break  # asks where a program is
        if name == "env" and split < _SPLITS and flags and re.match(r"-\w*S|--split-string", flags[-1]):
            split += 1
            text = re.sub(r"^(?:-\w*S|--split-string)=?", "", flags[-1])
            left, at = [*text.split(), *left[then:]], 0
            continue
        hides = hides or _hides(name, flags)
        at = then + (name in _TAKE_A_NAME)
    return Unwrapped(left[at:], tuple(settings), hides)


def _flags(name: str, words: list[str], at: int) -> tuple[list[str], int]:
    """The flags of a program that runs another, and where that begins."""
    flags: list[str] = []
    while at < len(words) and (words[at].startswith("-") or _TIME.fullmatch(words[at])):
        flags.append(words[at])
        at += 1
        if flags[-1] == "--":
            break
        if name == "env" and flags[-1] in ("-S", "--split-string") and at < len(words):
            return [*flags, f"-S{words[at]}"], at + 1
        if flags[-1] in _TAKES[name] and at < len(words):
            flags.append(words[at])
            at += 1
    return flags, at


def _hides(name: str, flags: list[str]) -> str:
    """How a program ends well without the one that it runs."""
    # Without --wait it forks where it leads a process group, as the first process of a container does.
    if name == "setsid" and not any(re.fullmatch(r"-[a-z]*w[a-z]*|--wait", flag) for flag in flags):
        return LEAVES
    if name in ("daemonize", "coproc") or (
        name == "start-stop-daemon" and not {"-b", "--background"}.isdisjoint(flags)
    ):
        return LEAVES
    if name == "systemd-run" and {"--wait", "--scope", "-P", "--pipe", "-t", "--pty"}.isdisjoint(flags):
        return LEAVES
    if name == "tini" and "-e" in flags:
        return "takes a status of failure for success"
    if name == "flock" and re.search(r"(?:-E|--conflict-exit-code)[ =]?0(?: |$)", " ".join(flags)):
        return "ends well where another has the lock"
    return ""
