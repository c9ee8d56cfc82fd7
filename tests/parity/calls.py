"""Scenarios through the Automation API of the unmodified SDK, with a program in a folder or in this process."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final
from unittest import mock

from pulumi import automation as auto

from tests.parity.recordings import Json, Row

# What an update's summary says that is neither a time nor the machine's.
_SUMMARY: Final = ("kind", "message", "result", "resource_changes", "version", "config", "environment")


class Stack:
    """A stack of a project's folder. An inline program runs in this process: only one such stack at a time.

    Args:
        project: the folder with ``Pulumi.yaml`` and ``__main__.py``.
        environment: of the engine and of the program, all of it.
    """

    def __init__(self, project: Path, environment: Mapping[str, str], *, inline: bool) -> None:
        self._project, self._environment, self._inline = project, dict(environment), inline
        variables = {k: v for k, v in environment.items() if k.startswith("PULUMI_")}
        options = auto.LocalWorkspaceOptions(env_vars=variables, work_dir=str(project))
        with self._here():
            if inline:
                self._stack = auto.create_or_select_stack("dev", "rec", self._program, opts=options)
            else:
                self._stack = auto.create_or_select_stack("dev", work_dir=str(project), opts=options)

    def _here(self) -> Any:
        return mock.patch.dict(os.environ, self._environment, clear=True)

    def _program(self) -> None:
        runpy.run_path(str(self._project / "__main__.py"))

    def call(self, name: str) -> Row:
        """One of preview, up, refresh, destroy, with what it returned or raised as ``outcome``."""
        events: list[Any] = []
        lines: list[str] = []
        calls: dict[str, Callable[..., Any]] = {
            "preview": self._stack.preview,
            "up": self._stack.up,
            "refresh": self._stack.refresh,
            "destroy": self._stack.destroy,
        }
        row: Row = {"run": [name], "exit": 0, "stderr": ""}
        with self._here():
            try:
                row["outcome"] = _result(calls[name](on_event=events.append, on_output=lines.append))
            except auto.CommandError as error:
                row |= {"exit": 1, "outcome": {"error": type(error).__name__}}
        return {**row, "stdout": "\n".join(lines), "events": [camel(_plain(e)) for e in events]}

    def history(self) -> list[Row]:
        with self._here():
            return [_summary(h) for h in self._stack.history()]


def _result(result: Any) -> Row:
    out: Row = {"outputs": {k: v.value for k, v in getattr(result, "outputs", {}).items()}}
    if (summary := getattr(result, "summary", None)) is not None:
        out["summary"] = _summary(summary)
    if (changes := getattr(result, "change_summary", None)) is not None:
        out["change_summary"] = {str(getattr(k, "value", k)): v for k, v in changes.items()}
    return out


def _summary(summary: Any) -> Row:
    out = {name: _plain(getattr(summary, name, None)) for name in _SUMMARY}
    out["config"] = {k: v if isinstance(v, str) else v.get("value") for k, v in (out["config"] or {}).items()}
    return out


def _plain(value: Any) -> Json:
    """The SDK's objects as JSON."""
    if isinstance(value, Mapping):
        return {str(getattr(k, "value", k)): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Enum):
        return value.value
    return _plain(vars(value)) if hasattr(value, "__dict__") else value


_FREE: Final = {"config", "inputs", "outputs", "resource_changes"}  # keys below are the user's


def camel(value: Json) -> Json:
    """An event of the SDK in the words of the event log; what is not set is left out."""
    if isinstance(value, list):
        return [camel(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, v in value.items():
        if v is None:
            continue
        head, *rest = key.split("_")
        name = "PolicyPacks" if key == "policy_packs" else head + "".join(part.capitalize() for part in rest)
        if key == "detailed_diff":
            out[name] = {path: camel(d) for path, d in v.items()}
        else:
            out[name] = v if key in _FREE else camel(v)
    return out
