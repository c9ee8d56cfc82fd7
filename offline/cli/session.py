"""What a command works on: the project around the current folder, the backend, the selected stack, its configuration."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline.backend.config import StackConfig, find_project
from offline.backend.store import Backend, StackRef, parse_stack, replace_file
from offline.engine.errors import EngineError, NotCovered, StackNotFound
from offline.engine.model import Project

if TYPE_CHECKING:
    from offline.backend.secrets import Passphrase

    from .main import Args


def pulumi_home() -> Path:
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


def credentials() -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads((pulumi_home() / "credentials.json").read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return data


def save_credentials(data: Mapping[str, Any]) -> None:
    path = pulumi_home() / "credentials.json"
    replace_file(path, json.dumps(data, indent=4).encode())
    path.chmod(0o600)


def _salt(deployment: Mapping[str, Any]) -> str:
    provider = deployment.get("secrets_providers") or {}
    if provider and provider.get("type") != "passphrase":
        raise NotCovered(f"secrets provider {provider.get('type')!r}")
    return str((provider.get("state") or {}).get("salt") or "")


class Session:
    def __init__(self, args: Args) -> None:
        self.args = args

    @cached_property
    def _found(self) -> tuple[Project, Mapping[str, Any], Path]:
        return find_project(Path.cwd())

    @property
    def project(self) -> Project:
        return self._found[0]

    @property
    def project_file(self) -> Mapping[str, Any]:
        return self._found[1]

    @cached_property
    def backend(self) -> Backend:
        url = os.environ.get("PULUMI_BACKEND_URL") or ""
        if not url:
            try:
                url = str((self._found[1].get("backend") or {}).get("url") or "")
            except EngineError:  # outside of a project
                url = ""
        url = url or str(credentials().get("current") or "")
        if not url:
            raise EngineError(
                "no backend is selected: set PULUMI_BACKEND_URL=file://<directory> or run `pulumi login file://<directory>`"
            )
        return Backend(url)

    # --- the selected stack ---------------------------------------------------------------------------------------

    @property
    def _settings_file(self) -> Path:
        mark = hashlib.sha1(str(self._found[2]).encode(), usedforsecurity=False).hexdigest()
        return pulumi_home() / "workspaces" / f"{self.project.name}-{mark}-workspace.json"

    def selected(self) -> str:
        try:
            settings = json.loads(self._settings_file.read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return ""
        return str((settings.get("stacks") or {}).get(self.backend.url) or settings.get("stack") or "")

    def select(self, stack: str) -> None:
        """Remembers the stack for this project; "" forgets it."""
        path = self._settings_file
        if stack:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(path, json.dumps({"stack": stack, "stacks": {self.backend.url: stack}}, indent=4).encode())
        else:
            path.unlink(missing_ok=True)

    def ref(self, name: str) -> StackRef:
        # A full name says its project; outside of a project that is enough.
        return parse_stack(name, "" if name.count("/") == 2 else self.project.name)

    @cached_property
    def stack(self) -> StackRef:
        """The stack of --stack, PULUMI_STACK or the selection. Raises: StackNotFound"""
        name = self.args.text("stack") or os.environ.get("PULUMI_STACK") or self.selected()
        if not name:
            raise StackNotFound(
                "no stack selected; please use `pulumi stack select --stack <name>` or `pulumi stack init` to choose one"
            )
        ref = self.ref(name)
        if not self.backend.path(ref).exists():
            raise StackNotFound(f"no stack named '{ref.name}' found")
        return ref

    # --- configuration and secrets --------------------------------------------------------------------------------

    def config_of(self, stack: str, *, own_file: bool = False) -> StackConfig:
        """The stack's configuration: of --config-file unless ``own_file``, otherwise of ``Pulumi.<stack>.yaml``."""
        project, file, _ = self._found
        return StackConfig.of(project, file, stack, "" if own_file else self.args.text("config-file"))

    @cached_property
    def config(self) -> StackConfig:
        return self.config_of(self.stack.name)

    @cached_property
    def secrets(self) -> Passphrase:
        """The stack's secrets provider; made, and its salt written to the stack's file, if there is none yet."""
        from offline.backend.secrets import Passphrase, passphrase_from_environment, refuse_other

        refuse_other(self.config.provider)
        # A --config-file need not repeat the salt, and where the stack's file was lost, the state knows it too.
        salt = self.config.salt or self.config_of(self.stack.name, own_file=True).salt or _salt(self.deployment())
        if salt:
            return Passphrase(salt, passphrase_from_environment())
        made = Passphrase.new(passphrase_from_environment())
        self.config.edit(salt=made.state)
        return made

    def deployment(self) -> dict[str, Any]:
        """The state of the stack, as it is now."""
        from offline.backend.checkpoint import latest

        return latest(self.backend.read(self.stack))

    def state_secrets(self, deployment: Mapping[str, Any]) -> Passphrase:
        """The secrets provider of a state: usually the same as of the configuration."""
        from offline.backend.secrets import Passphrase, passphrase_from_environment

        salt = _salt(deployment)
        if not salt or salt == self.config.salt:
            return self.secrets
        return Passphrase(salt, passphrase_from_environment())

    @property
    def interactive(self) -> bool:
        import sys

        return (
            not self.args.on("non-interactive")
            and "PULUMI_AUTOMATION_API" not in os.environ
            and "CI" not in os.environ
            and sys.stdin.isatty()
            and sys.stdout.isatty()
        )

    def confirm(self, question: str, expected: str) -> None:
        """Raises: UsageError when nobody can be asked, Cancelled when the answer is another."""
        from offline.engine.errors import Cancelled, UsageError

        if self.args.on("yes") or os.environ.get("PULUMI_SKIP_CONFIRMATIONS", "").lower() in ("1", "true"):
            return
        if not self.interactive:
            raise UsageError("--yes must be passed in to proceed when running in non-interactive mode")
        if (
            input(f"{question}\nPlease confirm that this is what you'd like to do by typing `{expected}`: ").strip()
            != expected
        ):
            raise Cancelled("confirmation declined, not proceeding")
