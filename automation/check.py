"""``rollout check``: settings, versions and policies of every stack, without an engine, secrets or a cluster."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import settings
from components.foreign_text import flat
from policies.judge import Judged, judge
from policies.levels import InvalidConfig
from policies.state import program as of_state

from . import sql
from .errors import NothingConfigured, ProjectNotFound, StackNotConfigured, UsageError
from .stack_file import StackFile, Unreadable


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
        NothingConfigured: no stack has one.
    """
    if not (folder / "Pulumi.yaml").exists():
        raise ProjectNotFound(folder)
    known = sorted(p.name.removeprefix("Pulumi.").removesuffix(".yaml") for p in folder.glob("Pulumi.*.yaml"))
    for stack in stacks:
        if stack not in known:
            raise StackNotConfigured(stack, folder, known)
    if not known:
        raise NothingConfigured(folder)
    wanted = list(stacks) or known
    if len(wanted) == 1 or "grpc" in sys.modules:
        # gRPC's threads, which Pulumi starts, do not survive a fork.
        return [_check(folder, stack) for stack in wanted]
    # The command: a program of a hundred modules takes seconds to declare, each stack's by itself.
    with ProcessPoolExecutor(min(len(wanted), os.cpu_count() or 1)) as processes:
        return list(processes.map(partial(_check, folder), wanted))


def check_state(file: Path, stack: str) -> Checked:
    """Judges what is deployed, from what ``pulumi stack export`` has written.

    Raises:
        UsageError: the file cannot be read or is no exported state.
    """
    try:
        return Checked(stack, {}, "", tuple(judge(of_state(json.loads(file.read_text())), stack)))
    except InvalidConfig as error:
        return Checked(stack, {}, str(error), ())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} is not what `pulumi stack export --file {file}` writes: {error}") from None


def _check(folder: Path, stack: str) -> Checked:
    from .declared import declared  # late: it loads Pulumi

    try:
        file = StackFile.read(folder / f"Pulumi.{stack}.yaml")
    except Unreadable as error:
        return Checked(stack, {}, str(error), ())
    try:
        wanted = settings.load(
            {key: _text(value) for key, value in file.config.items()},
            stack=stack,
            root=folder,
            secret_keys=file.secret_keys,
        )
    except settings.SettingsError as error:
        problems = error.problems if isinstance(error, settings.InvalidSettings) else [str(error)]
        told = [p for p in problems if not file.is_encrypted(p)]
        if not told:
            paths = ", ".join(sorted(file.encrypted))
            advice = f"not judged: what is encrypted cannot be read without the stack's passphrase or key ({paths})"
            return Checked(stack, {}, "", (Judged("settings", False, "", advice),))
        said = str(error) if len(told) == len(problems) else str(settings.InvalidSettings(told))
        return Checked(stack, {}, file.located(said), ())
    versions = {name: str(wanted.version(name)) for name in wanted.modules}
    try:
        read = [Judged(f.rule, f.refuses, f.module, f.text) for f in sql.read(wanted, folder, wanted.modules)]
        # The pack's rule reads the same files, from where the pack lies.
        judged = [f for f in judge(declared(wanted), stack) if f.rule != sql.RULE]
    except (sql.UnreadableSql, InvalidConfig) as error:
        return Checked(stack, versions, str(error), ())
    return Checked(stack, versions, "", tuple(sorted([*read, *judged], key=lambda each: not each.mandatory)))


def _text(value: Any) -> str:
    """A value as Pulumi hands it to a program: objects as JSON, everything else as text."""
    return value if isinstance(value, str) else json.dumps(value)


def text(results: Iterable[Checked]) -> str:
    """The findings for people, each stack under its name."""
    lines = []
    for r in results:
        versions = ", ".join(f"{module} {version}" for module, version in r.versions.items())
        lines.append(f"{r.stack}: {'ok' if r.ok else 'refused'}" + (f" ({versions})" if versions else ""))
        lines += [f"  {line}" for line in r.error.split("\n") if line]
        lines += [f"  {'refused' if f.mandatory else 'advice'} [{f.rule}] {f.message}" for f in r.findings]
    return "\n".join(map(flat, lines))


def as_json(results: Sequence[Checked], error: str = "") -> dict[str, Any]:
    """The same as values for JSON.

    Args:
        results: of the stacks.
        error: why nothing could be judged.
    """
    stacks = [{**asdict(r), "ok": r.ok} for r in results]
    return {"ok": not error and all(r.ok for r in results), "error": error or None, "stacks": stacks}
