"""What is read of a script is what shells do with it: each is run, with an ``api`` that always fails."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.commands import command
from tests.unit.policies.corpus.scripts import FAILS_TOO, HIDES

SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
_OF_BASH = re.compile(r"=\(|\[\[|\(\(|[<>]\(|PIPESTATUS|pipefail|<<<|ERR|declare|coproc")
# What else than shells the scripts need, or wait for, or what is theirs by a variable that is not set.
_OTHERS = re.compile(
    r"while|until|flock|setsid|script -|su app|psql|pwsh|php|ruby|perl|python|node|fish|tcsh|cmd /c|tini|pm2|daemon|docker|start-stop|nohup"
    r"|/skip|\$SKIP|\$RUN|\$A\b|kill|[<>]\(api|&$|sleep infinity|--detach|--background|alias run|api migrate \$d|/(?:tmp|var|done|shared|srv|m)\b|cat databases|set -e; ! x="
)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of an ``api`` that says that it has been called, and fails; of an ``o`` that ends as it is told."""
    for name, text in {
        "api": 'echo called >> "$CALLED"; exit 1',
        "o": "exit $O",
        **dict.fromkeys(("curl", "nc", "proxy", "ts", "sleep"), "exit 0"),
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def really_hides(shell: str, script: str, programs: Path, o: str = "0") -> bool:
    """Whether a shell ends well although the last that migrates has failed."""
    called = programs / "called"
    called.unlink(missing_ok=True)
    path = f"{programs}:{os.defpath}"
    ended = subprocess.run(
        [shell, "-c", script],
        env={"PATH": path, "CALLED": str(called), "O": o},
        cwd=programs,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
    )
    return ended.returncode == 0 and called.exists()


def of(shell: str, scripts: list[str]) -> list[str]:
    return [
        s
        for s in scripts
        if "api migrate" in s and not _OTHERS.search(s) and (shell == "bash" or not _OF_BASH.search(s))
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_that_are_said_to_fail_do(shell: str, programs: Path) -> None:
    scripts = of(shell, FAILS_TOO)
    assert len(scripts) > 40
    assert [s for s in scripts if really_hides(shell, s, programs)] == []


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_that_are_said_to_hide_do(shell: str, programs: Path) -> None:
    scripts = of(shell, HIDES)
    assert len(scripts) > 40
    assert [s for s in scripts if not really_hides(shell, s, programs)] == []


_SIMPLE = [
    "api migrate",
    "api migrate",
    "api migrate",
    "o",
    "true",
    "false",
    "x=$?",
    "x=0",
    "y=api",
    "rc=$?",
    "f",
    "f a",
    "echo a",
    "set -e",
    "set +e",
    "exit $rc",
    "exit",
    "exit 0",
    '[ "$x" = 0 ]',
    '[ -n "$x" ]',
    "$y migrate",
    "x=$(api migrate)",
    "x=$(o)",
    "shift",
    "set -- a b",
    '"$@"',
    'x="a$x"',
    "break",
    "continue",
    "export y=$(api migrate)",
    ": $(api migrate)",
    'eval "api migrate"',
    'eval "$c"',
    "wait",
    "! api migrate",
    'trap "exit \\$rc" EXIT',
    'trap "o" EXIT',
    'z="api migrate"',
    "$z",
    "command api migrate",
    "exec api migrate",
    '[ "$1" = b ]',
]


class Writer:
    """Writes scripts at random, the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def several(self, depth: int) -> str:
        return "; ".join(self.one(depth) for _ in range(self.random.randint(1, 3))).replace("&;", "&")

    def one(self, depth: int) -> str:
        if depth <= 0 or self.random.random() < 0.45:
            return self.random.choice(_SIMPLE)
        a, b = self.one(depth - 1), self.one(depth - 1)
        more, most = self.several(depth - 1), self.several(depth - 1)
        quoted = more.replace("'", "")
        words = self.random.choice(["a b", "a", "$y", '"$@"'])
        forms = [
            f"{a} && {b}",
            f"{a} || {b}",
            f"{a} | {b}",
            f"! {a}",
            f"( {more} )",
            f"{{ {more}; }}",
            f"y=$( {more} )",
        ]
        forms += [
            f"if {a}; then {more}; fi",
            f"if {a}; then {more}; else {most}; fi",
            f"for i in {words}; do {more}; done",
        ]
        forms += [f"case $x in a) {more};; 0) {most};; *) {b};; esac", f"sh -c '{quoted}' _ a", f"sh -ec '{quoted}'"]
        forms += [f'n=0; while [ "$n" -lt 2 ]; do n=$((n+1)); {more}; done', f"{a} &"]
        return self.random.choice(forms)

    def script(self) -> str:
        begin = self.random.choice(["", "set -e; ", 'c="api migrate"; '])
        return f"{begin}f() {{ {self.several(1)}; }}; {self.several(2)}".replace("&;", "&")


def written(seed: int) -> Iterator[str]:
    writer = Writer(seed)
    for _ in range(60):
        yield writer.script()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shell", SHELLS)
def test_no_script_of_many_hides_what_it_is_not_said_to(shell: str, seed: int, programs: Path) -> None:
    missed = []
    for script in written(seed):
        found = command(("sh", "-c", script))
        if not found.hides and not found.unreadable:
            missed += [script for o in "01" if really_hides(shell, script, programs, o)]
    assert missed == []
