"""``rollout check``: settings, versions and policies of every stack, without an engine, secrets or a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

import settings
from policies.judge import Judged, judge
from policies.state import program as of_state

from . import sql
from .errors import ProjectNotFound, StackNotConfigured, UsageError

# What stands for a value that only the stack's passphrase would tell.
_SECRET_URI = "postgresql://unknown:unknown@unknown:5432"
_SECRET = "unknown"


@dataclass(frozen=True)
class Checked:
    """What was found of one stack.

    Args:
        stack: its name.
        versions: module -> version that would run; empty where the settings cannot be read.
        error: why the settings cannot be used, or empty.
        findings: of the policies and of the SQL files, those that forbid the update first.
    """

    stack: str
    versions: Mapping[str, str]
    error: str
    findings: tuple[Judged, ...]

    @property
    def ok(self) -> bool:
        return not self.error and not any(f.mandatory for f in self.findings)


def check(folder: Path, stacks: Iterable[str] = ()) -> list[Checked]:
    """Checks the stacks of a project folder.

    Args:
        folder: that holds Pulumi.yaml.
        stacks: names; default: every ``Pulumi.<stack>.yaml``.

    Raises:
        ProjectNotFound: there is no Pulumi.yaml.
        StackNotConfigured: a stack was named that has no file.
    """
    if not (folder / "Pulumi.yaml").exists():
        raise ProjectNotFound(folder)
    known = sorted(p.name.removeprefix("Pulumi.").removesuffix(".yaml") for p in folder.glob("Pulumi.*.yaml"))
    for stack in stacks:
        if stack not in known:
            raise StackNotConfigured(stack, folder, known)
    return [_check(folder, stack) for stack in list(stacks) or known]


def check_state(file: Path, stack: str) -> Checked:
    """Judges what is deployed, from what ``pulumi stack export`` has written.

    Raises:
        UsageError: the file cannot be read or is no exported state.
    """
    try:
        return Checked(stack, {}, "", tuple(judge(of_state(json.loads(file.read_text())), stack)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is not what `pulumi stack export --file {file}` writes: {error}") from None


def _check(folder: Path, stack: str) -> Checked:
    from .declared import declared  # late: it loads Pulumi

    try:
        content = yaml.safe_load((folder / f"Pulumi.{stack}.yaml").read_text()) or {}
        config = content.get("config") or {}
        wanted = settings.load(
            {key: _text(_revealed(value, key)) for key, value in config.items()},
            stack=stack,
            root=folder,
            secret_keys=[key for key, value in config.items() if _has_secret(value)],
        )
    except settings.SettingsError as error:
        return Checked(stack, {}, str(error), ())
    except yaml.YAMLError as error:
        return Checked(stack, {}, f"Pulumi.{stack}.yaml is not YAML: {error}", ())
    versions = {name: str(wanted.version(name)) for name in wanted.modules}
    try:
        read = [Judged(f.rule, f.refuses, f.module, f.text) for f in sql.read(wanted, folder, wanted.modules)]
    except sql.UnreadableSql as error:
        return Checked(stack, versions, str(error), ())
    # The pack's rule reads the same files, from where the pack lies.
    findings = [*read, *(f for f in judge(declared(wanted), stack) if f.rule != sql.RULE)]
    return Checked(stack, versions, "", tuple(sorted(findings, key=lambda each: not each.mandatory)))


def _has_secret(value: Any) -> bool:
    return isinstance(value, dict) and ("secure" in value or any(_has_secret(v) for v in value.values()))


def _revealed(value: Any, key: str) -> Any:
    """The value with something of the right form in the place of what is encrypted."""
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            return _SECRET_URI if key == "uri" else _SECRET
        return {k: _revealed(v, str(k)) for k, v in value.items()}
    return [_revealed(v, key) for v in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    """A value as Pulumi hands it to a program: objects as JSON, everything else as text."""
    return value if isinstance(value, str) else json.dumps(value)


def text(results: Iterable[Checked]) -> str:
    """The findings for people, each stack under its name."""
    lines = []
    for r in results:
        versions = ", ".join(f"{module} {version}" for module, version in r.versions.items())
        lines.append(f"{r.stack}: {'ok' if r.ok else 'refused'}" + (f" ({versions})" if versions else ""))
        lines += [f"  {line}" for line in r.error.splitlines()]
        lines += [f"  {'refused' if f.mandatory else 'advice'} [{f.rule}] {f.message}" for f in r.findings]
    return "\n".join(lines)


def as_json(results: Iterable[Checked]) -> list[dict[str, Any]]:
    """The same as values for JSON."""
    return [{**asdict(r), "ok": r.ok} for r in results]
