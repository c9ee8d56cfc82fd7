"""Files of the operator in, files of ours out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import settings

from ..errors import UsageError
from .translate import Imported, translate


@dataclass(frozen=True)
class Written:
    """What was written, and what is left to do.

    Args:
        files: that were written.
        imported: what is in them.
        problem: why the settings cannot be used as they are, or empty.
    """

    files: tuple[Path, ...]
    imported: Imported
    problem: str = ""


def import_files(files: Iterable[Path], folder: Path, stack: str | None = None, overwrite: bool = False) -> Written:
    """Writes ``Pulumi.<stack>.yaml`` and the versions file.

    Raises:
        UsageError: a file cannot be read, or one that would be written exists.
    """
    imported = translate(list(_documents(files)), stack)
    contents = {folder / f"Pulumi.{imported.stack}.yaml": _configuration(imported)}
    if imported.line and imported.versions:
        contents[folder / "versions" / f"{imported.line}.yaml"] = _versions(imported)
    for file in contents:
        if file.exists() and not overwrite:
            raise UsageError(f"{file} exists; --overwrite replaces it")
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return Written(tuple(contents), imported, _problem(imported, folder))


def _documents(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        try:
            for document in yaml.safe_load_all(file.read_text()):
                if isinstance(document, dict):
                    # `kubectl get -o yaml` writes lists.
                    yield from document["items"] if document.get("kind") == "List" else [document]
        except (OSError, yaml.YAMLError) as error:
            raise UsageError(f"{file} cannot be read: {error}") from None


def _configuration(imported: Imported) -> str:
    head = "# From a Formance operator's stack, by `rollout import-operator`.\n"
    config = {f"rollout:{key}": value for key, value in imported.config.items()}
    return head + yaml.safe_dump({"config": config}, sort_keys=False, width=120)


def _versions(imported: Imported) -> str:
    head = f"# Versions of line {imported.line}, from the operator's Versions object.\n"
    return head + "".join(f'{name}: "{version}"\n' for name, version in imported.versions.items())


def _problem(imported: Imported, folder: Path) -> str:
    config = {f"rollout:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in imported.config.items()}
    try:
        settings.load(config, stack=imported.stack, root=folder)
    except settings.SettingsError as error:
        return str(error)
    return ""


def text(written: Written) -> str:
    """What was written, for people."""
    found = written.imported
    lines = [f"written: {file}" for file in written.files]
    lines += ["", "before the first update:", *(f"  {line}" for line in found.todo)] if found.todo else []
    lines += ["", "without equivalent:", *(f"  {line}" for line in found.without)] if found.without else []
    lines += ["", *written.problem.splitlines()] if written.problem else []
    return "\n".join(lines)


def as_json(written: Written) -> dict[str, Any]:
    """The same as values for JSON."""
    found = written.imported
    return {
        "stack": found.stack,
        "files": [str(f) for f in written.files],
        "todo": found.todo,
        "without_equivalent": found.without,
        "problem": written.problem or None,
    }
