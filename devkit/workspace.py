"""A project folder with one stack on the devkit's cluster, for the demo and the tests.

The repository's own ``Pulumi.<stack>.yaml`` files are a user's; what a demo or a test configures goes into a folder of its
own, with its own file backend. The program is the repository's, unmodified.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from devkit import paths, pulumi

REPOSITORY = Path(__file__).resolve().parent.parent
ROLLOUT = REPOSITORY / "bin" / "rollout"
PASSPHRASE = "devkit"  # protects the state of throw-away stacks on this machine, as the file beside it does


def postgres_uri() -> str:
    """The devkit's PostgreSQL as pods reach it. They do not have its CA, so the server is not verified there."""
    server = paths.postgres()
    return f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}?sslmode=require"


def pulumi_environment(home: Path) -> dict[str, str]:
    """The variables with which ``pulumi`` is the CLI to use, and has its plugins.

    Args:
        home: a folder for what a CLI keeps for its user; made if need be.
    """
    installation = pulumi.installed()
    home.mkdir(parents=True, exist_ok=True)
    installation.plugins.mkdir(parents=True, exist_ok=True)
    plugins = home / "plugins"
    if not plugins.exists():
        plugins.unlink(missing_ok=True)
        plugins.symlink_to(installation.plugins)
    return {
        "PATH": f"{installation.executables}{os.pathsep}{os.environ['PATH']}",
        "PULUMI_HOME": str(home),
        "PULUMI_PYTHON_CMD": sys.executable,  # by which the CLI runs policy packs
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


@dataclass(frozen=True)
class Workspace:
    """One stack in a folder of its own.

    Args:
        root: the folder; holds ``Pulumi.yaml``, the stack's configuration and the state.
        stack: the stack's name, and so the namespace's.
        environment: variables on top of this process's.
    """

    root: Path
    stack: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, root: Path, stack: str, settings: Mapping[str, Any]) -> Workspace:
        """Makes the folder, the stack and its configuration.

        Args:
            root: a folder that does not exist or is empty.
            stack: a name that is also a namespace's.
            settings: what stands under ``rollout:``; ``postgres`` is the devkit's server's unless given.
        """
        state = root / "state"
        state.mkdir(parents=True, exist_ok=True)
        project = {
            "name": "rollout",
            "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}},
            "main": str(REPOSITORY),
        }
        (root / "Pulumi.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
        workspace = cls(root, stack)
        workspace.pulumi("stack", "init", stack)
        if "postgres" not in settings:
            workspace.pulumi(
                "config", "set", "--secret", "--path", "rollout:postgres.uri", postgres_uri(), "--stack", stack
            )
        workspace.configure(settings)
        return workspace

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Replaces the settings named; one that is None is removed."""
        content = yaml.safe_load(self.file.read_text()) or {}
        config = content.setdefault("config", {})
        for name, value in settings.items():
            if value is None:
                config.pop(f"rollout:{name}", None)
            else:
                config[f"rollout:{name}"] = value
        self.file.write_text(yaml.safe_dump(content, sort_keys=False))

    @property
    def file(self) -> Path:
        """The stack's configuration."""
        return self.root / f"Pulumi.{self.stack}.yaml"

    @property
    def env(self) -> dict[str, str]:
        """The environment in which both ``pulumi`` and ``rollout`` find this stack."""
        return {
            **os.environ,
            **pulumi_environment(self.root / "home"),
            "KUBECONFIG": os.environ.get("KUBECONFIG") or str(paths.kubeconfig()),
            "PULUMI_BACKEND_URL": f"file://{self.root / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "ROLLOUT_PYTHON": sys.executable,
            "NO_COLOR": "1",
            **self.environment,
        }

    def pulumi(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs ``pulumi`` in the folder.

        Raises:
            subprocess.CalledProcessError: it failed and ``check`` is set; its output is in the note.
        """
        done = subprocess.run(
            ["pulumi", *args, "--non-interactive"],
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
            error.add_note(done.stdout + done.stderr)
            raise error
        return done

    def start(self, *args: str, json_output: bool = False) -> subprocess.Popen[str]:
        """Starts ``rollout``, in a process group of its own so that it can be killed with everything it started."""
        return subprocess.Popen(
            self.command(args, json_output),
            cwd=self.root,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def command(self, args: Sequence[str], json_output: bool) -> list[str]:
        return [str(ROLLOUT), *args, "--stack", self.stack, *(["--json"] if json_output else [])]

    def rollout(self, *args: str, timeout: float = 240) -> tuple[int, dict[str, Any]]:
        """Runs ``rollout ... --json`` and returns its exit code and its verdict.

        Args:
            timeout: seconds.
        """
        process = self.start(*args, json_output=True)
        stdout, stderr = process.communicate(timeout=timeout)
        try:
            return process.returncode, json.loads(stdout)
        except json.JSONDecodeError:
            raise AssertionError(
                f"rollout {' '.join(args)} exited {process.returncode} without a verdict:\n{stdout}\n{stderr}"
            ) from None
