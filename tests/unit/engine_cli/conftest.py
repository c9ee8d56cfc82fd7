"""A project, a backend and a home of its own for every test, and the executable run in them as a person would."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest

from offline.cli.main import main

BIN = Path(__file__).parents[3] / "offline" / "cli" / "bin"

SALT = "v1:x4VkdLCPNsM=:v1:O40KZx8ue5I6PtD/:Yiayy17YEQRv6q02YAtAg5cZKUDfgg=="  # of Pulumi CLI v3.260.0, passphrase "recorded"

PROGRAM = """
import pulumi

config = pulumi.Config()

class Thing(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("test:index:Thing", name, None, opts)
        self.register_outputs({"name": name})

one = Thing("one")
Thing("two", pulumi.ResourceOptions(parent=one))
if config.get("fail"):
    raise RuntimeError("told to fail")
pulumi.export("size", config.get_int("size") or 1)
pulumi.export("hidden", config.get_secret("token") or pulumi.Output.secret("canary"))
"""


@dataclass(frozen=True)
class Ran:
    out: str
    err: str
    code: int


@dataclass
class Shell:
    project: Path
    state: Path
    env: dict[str, str] = field(default_factory=dict)

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["pulumi", *args], cwd=self.project, env=self.env | env, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __call__(
        self, *args: str, check: bool = True, stdin: str | None = None, own_process: bool = False, **env: str
    ) -> Ran:
        """Runs the executable, or what it runs in this process: that spares the start and deriving the key again."""
        if own_process:
            process = self.start(*args, **env)
            ran = Ran(*process.communicate(timeout=60), code=process.returncode)
        else:
            ran = self._here(args, self.env | env, stdin or "")
        if check and ran.code:
            raise AssertionError(f"pulumi {' '.join(args)}: exit {ran.code}\n{ran.out}\n{ran.err}")
        return ran

    def _here(self, args: tuple[str, ...], env: dict[str, str], stdin: str) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, env, clear=True), mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            contextlib.chdir(self.project), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
        ):  # fmt: skip
            code = main(args)
        return Ran(out.getvalue(), err.getvalue(), code)

    def checkpoint(self, stack: str = "dev") -> Path:
        return self.state / f".pulumi/stacks/test/{stack}.json"


def environment(tmp: Path, base: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in base.items() if not k.startswith("PULUMI_")}
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{base['PATH']}",
        "ROLLOUT_PYTHON": sys.executable,
        "PULUMI_HOME": str(tmp / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp}/state",
        "PULUMI_CONFIG_PASSPHRASE": "recorded",
    }


def new_project(tmp: Path) -> Shell:
    """An empty project named ``test`` without a stack."""
    project, state = tmp / "project", tmp / "state"
    project.mkdir()
    state.mkdir()
    (project / "Pulumi.yaml").write_text("name: test\nruntime: python\n")
    (project / "__main__.py").write_text(PROGRAM)
    return Shell(project, state, environment(tmp, os.environ))


@pytest.fixture
def pulumi(tmp_path: Path) -> Shell:
    return new_project(tmp_path)


@pytest.fixture
def dev(pulumi: Shell) -> Shell:
    """The same with the stack ``dev``, whose salt is given: deriving a key takes a third of a second."""
    (pulumi.project / "Pulumi.dev.yaml").write_text(f"encryptionsalt: {SALT}\n")
    pulumi("stack", "init", "dev")
    return pulumi
