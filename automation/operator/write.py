"""Files of the operator in, files of ours out."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

import settings
from policies.levels import file_of, levels
from settings.catalog import find
from settings.model import registry_of

from ..check import Checked, check
from ..errors import UsageError
from ..stack_file import StrictLoader
from .draft import Step
from .errors import UnreadableFile
from .forward import forward
from .translate import Imported, translate

# What the paths in messages begin with.
_TOP = ("modules", "postgres", "broker", "temporal", "gateway", "registries", "openTelemetry", "versions")


@dataclass(frozen=True)
class Written:
    """What was written, and what is left to do.

    Args:
        files: that were written.
        imported: what is in them.
        todo: what is to be done by hand, in the order to do it.
        problem: why the settings cannot be used as they are, or empty.
        checked: what `rollout check` says of them, where there is a Pulumi.yaml and no problem.
    """

    files: tuple[Path, ...]
    imported: Imported
    todo: tuple[Step, ...] = ()
    problem: str = ""
    checked: Checked | None = None


def import_files(files: Iterable[Path], folder: Path, stack: str | None = None, overwrite: bool = False) -> Written:
    """Writes ``Pulumi.<stack>.yaml`` and the versions file.

    Raises:
        UnreadableFile: a file cannot be read.
        CannotImport: objects cannot be used.
        UsageError: it is not clear which stack is meant, or a file that would be written exists.
    """
    imported = translate(list(_documents(files)), stack)
    contents = {folder / f"Pulumi.{imported.stack}.yaml": _configuration(imported)}
    leading = folder / f"forward-{imported.stack}.yaml" if "gateway" in imported.config["modules"] else None
    if imported.line and imported.versions:
        contents[folder / "versions" / f"{imported.line}.yaml"] = _versions(imported)
    if leading and leading.exists() and not overwrite:
        raise UsageError(f"{leading} exists; --overwrite replaces it")
    for file, content in contents.items():
        # Stacks share a line's versions.
        shared = file.parent != folder and file.exists() and file.read_text() == content
        if file.exists() and not overwrite and not shared:
            raise UsageError(f"{file} exists; --overwrite replaces it")
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    problem, checked, files = "", None, tuple(contents)
    try:
        wanted = settings.load(_as_pulumi(imported.config), stack=imported.stack, root=folder)
        if leading:
            leading.write_text(forward(wanted))
            files += (leading,)
    except settings.SettingsError as error:
        problem = _traced(error, imported.sources)
    if not problem and (folder / "Pulumi.yaml").exists():
        (checked,) = check(folder, [imported.stack])
    steps = (*imported.todo, *_allowed(imported), _last(imported.stack))
    return Written(files, imported, steps, problem, checked)


def _as_pulumi(config: Mapping[str, Any]) -> dict[str, str]:
    return {f"rollout:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def _allowed(imported: Imported) -> Iterator[Step]:
    """The registries that the policies have to allow."""
    allowed = [f"{each.rstrip('/')}/" for each in levels(imported.stack)["images-pinned"].options["registries"]]
    if not allowed:
        return
    kinds = [find(name).defaults for name in imported.config["modules"]]
    folders = {_pulled(str(kind["image"]), imported.config.get("registries", {})).rpartition("/")[0] for kind in kinds}
    others = [each for each in sorted(folders) if not any(f"{each}/".startswith(prefix) for prefix in allowed)]
    if any(kind.get("database", True) for kind in kinds):
        others.append("$REGISTRY")
    if others:
        file = f"policies/config/{file_of(imported.stack).name}"
        yield Step(
            f"allow the registries of the images in the policies: images-pinned.registries in {file}",
            tuple(rf'sed -i.bak "s#\"registries\": \[#&\"{each}\", #" {file}' for each in others),
        )


def _pulled(image: str, registries: Mapping[str, Any]) -> str:
    """Where an image comes from by the registries' settings."""
    host, path = registry_of(image)
    given = registries.get(host, {})
    return f"{given.get('endpoint', host)}/{given.get('images', {}).get(path, path)}"


def _last(stack: str) -> Step:
    commands = (f"bin/rollout check --stack {stack}", f"bin/rollout preview --stack {stack}")
    return Step(
        "check the result, and preview it; if the operator runs this stack, continue with docs/operator.md, Taking over a running stack",
        commands,
    )


def _documents(files: Iterable[Path]) -> Iterator[Any]:
    for file in files:
        try:
            yield from yaml.load_all(file.read_text(), StrictLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UnreadableFile(file, _cause(error)) from None
        # Such as 2024-13-45, which YAML takes for a date, and keys that are lists.
        except (ValueError, TypeError, RecursionError) as error:
            raise UnreadableFile(file, type(error).__name__) from None


def _cause(error: Exception) -> str:
    """Why a file cannot be read, without the line, which may have a credential."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"it is not YAML: {error.problem}, in line {mark.line + 1}, column {mark.column + 1}"
    return getattr(error, "strerror", None) or f"it is no text in UTF-8 or not YAML ({type(error).__name__})"


def _configuration(imported: Imported) -> str:
    head = "# From a Formance operator's stack, by `rollout import-operator`.\n"
    config = {f"rollout:{key}": value for key, value in imported.config.items()}
    return head + yaml.safe_dump({"config": config}, sort_keys=False, width=120)


def _versions(imported: Imported) -> str:
    head = "# Versions of a line of the stack, from the operator's Versions object.\n"
    return head + yaml.safe_dump(imported.versions, default_style='"', sort_keys=False, width=120)


def _traced(error: settings.SettingsError, sources: Mapping[str, list[str]]) -> str:
    """What is wrong with the settings, each with the object and the key that it comes from."""
    if isinstance(error, settings.InvalidSettings):
        return "\n".join([str(error).splitlines()[0], *(f"  {_from(problem, sources)}" for problem in error.problems)])
    return _from(str(error), sources)


def _from(problem: str, sources: Mapping[str, list[str]]) -> str:
    found = re.search(rf"\b(?:rollout:)?((?:{'|'.join(_TOP)})\b[\w./:\"-]*)", problem)
    path = found[1].rstrip(".:") if found else ""
    around = [source for source in sources if f"{path}.".startswith(f"{source}.")]
    inside = [source for source in sources if path and source.startswith(f"{path}.")]
    source = max(around, key=len, default=None) or next(iter(inside), None)
    return f"{problem} (from {', '.join(sources[source])})" if source else problem


def text(written: Written) -> str:
    """What was written, for people."""
    found, checked = written.imported, written.checked
    lines = [f"written: {file}" for file in written.files]
    lines += ["", "to do, in this order:"]
    for number, step in enumerate(written.todo, 1):
        lines.append(f"{number:3}. {step.what}")
        lines += [f"     $ {command}" for command in step.commands]
    lines += ["", "without equivalent:", *(f"  {line}" for line in found.without)] if found.without else []
    lines += ["", *written.problem.splitlines()] if written.problem else []
    if checked:
        said = [checked.error] if checked.error else _by_rule(checked)
        lines += [
            "",
            "`rollout check` now says:" if said else "`rollout check` has nothing to say.",
            *(f"  {each}" for each in said),
        ]
    return "\n".join(lines)


def _by_rule(checked: Checked) -> list[str]:
    """The first finding of each rule, and how many more there are."""
    lines = []
    for rule, found in Counter((f.rule, f.mandatory) for f in checked.findings).items():
        first = next(f for f in checked.findings if (f.rule, f.mandatory) == rule)
        more = f" And {found - 1} more." if found > 1 else ""
        lines.append(f"{'refused' if first.mandatory else 'advice'} [{first.rule}] {first.message}{more}")
    return lines


def as_json(written: Written) -> dict[str, Any]:
    """The same as values for JSON."""
    found = written.imported
    return {
        "stack": found.stack,
        "files": [str(f) for f in written.files],
        "todo": [asdict(step) for step in written.todo],
        "without_equivalent": found.without,
        "problem": written.problem or None,
        "check": asdict(written.checked) if written.checked else None,
    }
