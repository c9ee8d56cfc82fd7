"""pulumi-command's ``local.Command`` (version 1.2.1): a shell command for each of create, update and delete."""

# ruff: noqa: ARG002 - the interface is the same for every provider

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from offline.engine.errors import NotCovered
from offline.engine.paths import covers, parse_path
from offline.engine.provider import Call, CheckFailure, Diff, Made, PropertyDiff, Provider, ProviderError, Seen
from offline.engine.values import UNKNOWN, Properties, Secret, contains_secret, contains_unknown, unwrap

from .diff import changes, show
from .kubernetes.metadata import unique

TOKEN = "command:local:Command"
_INPUTS = (
    "create", "update", "delete", "environment", "triggers", "stdin", "dir", "interpreter", "logging", "addPreviousOutputInEnv",
)  # fmt: skip
_PRODUCED = ("stdout", "stderr")
_LIBRARY_VERSION = "__pulumi-go-provider-version"  # what the real provider's library adds to the provider's inputs
_SECONDS_TO_END = 10.0  # between SIGTERM and SIGKILL after a Ctrl-C


def _covered(type: str) -> None:
    if type != TOKEN:
        raise NotCovered(f"the resource type {type}")


class CommandProvider:
    """See :class:`offline.engine.provider.Provider`."""

    def configure(self, inputs: Properties) -> None: ...

    def check_config(self, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        return dict(news) | {_LIBRARY_VERSION: "(devel)"}, []

    def diff_config(self, olds: Properties, news: Properties) -> Diff:
        olds, news = ({k: v for k, v in p.items() if k != _LIBRARY_VERSION} for p in (olds, news))
        return Diff(changes=olds != news, diffs=sorted(k for k in {**olds, **news} if olds.get(k) != news.get(k)))

    def close(self) -> None: ...

    def check(self, call: Call, type: str, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        _covered(type)
        for key in ("assetPaths", "archivePaths"):
            if news.get(key):
                raise NotCovered(f"{key} of {TOKEN}")
        return dict(news), [CheckFailure(k, f"unknown property {k!r}") for k in news if k not in _INPUTS]

    def diff(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Diff:
        before = {k: v for k, v in unwrap(old.outputs).items() if k in _INPUTS}
        ignored = [parse_path(p) for p in ignore_changes]
        found: dict[str, PropertyDiff] = {}
        for path, kind in changes(before, unwrap(news)).items():
            if not any(covers(p, path) for p in ignored):
                found[show(path)] = PropertyDiff(f"{kind}-replace" if path[0] == "triggers" else kind, input_diff=False)
        top = sorted({str(parse_path(p)[0]) for p in found})
        return Diff(bool(found), (), top, found)  # the kinds say what replaces; the provider names no keys

    def create(self, call: Call, type: str, inputs: Properties) -> Made:
        if call.preview:
            return Made("", dict(inputs) | dict.fromkeys(_PRODUCED, UNKNOWN))
        stdout, stderr = self._run(call, "create", inputs, {})
        return Made(unique(call.urn.rsplit("::", 1)[1]), self._outputs(inputs, stdout, stderr))

    def update(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Made:
        step = self._step(news, "update")
        if call.preview and step:
            return Made(old.id, dict(news) | dict.fromkeys(_PRODUCED, UNKNOWN))
        if not step:  # nothing to run: the outputs stay
            return Made(old.id, dict(news) | {k: old.outputs.get(k, "") for k in _PRODUCED})
        stdout, stderr = self._run(call, step, news, old.outputs)
        return Made(old.id, self._outputs(news, stdout, stderr))

    def read(self, call: Call, type: str, old: Seen) -> Made | None:
        _covered(type)
        return Made(old.id, old.outputs, old.inputs)

    def delete(self, call: Call, type: str, old: Seen) -> None:
        _covered(type)
        if self._step(old.outputs, "delete"):
            self._run(call, "delete", old.outputs, old.outputs)

    @staticmethod
    def _step(inputs: Mapping[str, Any], step: str) -> str:
        """Which input holds the command of a step: an update without one of its own runs ``create`` again."""
        if unwrap(inputs.get(step)):
            return step
        return "create" if step == "update" and unwrap(inputs.get("create")) else ""

    @staticmethod
    def _outputs(inputs: Properties, stdout: str, stderr: str) -> Properties:
        secret = contains_secret(inputs)
        return dict(inputs) | {
            "stdout": Secret(stdout) if secret else stdout,
            "stderr": Secret(stderr) if secret else stderr,
        }

    def _run(self, call: Call, step: str, inputs: Properties, previous: Properties) -> tuple[str, str]:
        given = unwrap(inputs)
        command = given.get(step)
        if contains_unknown(given):
            raise ProviderError(f"the command of {call.urn} is not known")
        if not command:
            return "", ""
        interpreter = given.get("interpreter") or ["/bin/sh", "-c"]
        environment = dict(os.environ) | {k: str(v) for k, v in (given.get("environment") or {}).items()}
        if previous and given.get("addPreviousOutputInEnv") is not False:
            environment |= {f"PULUMI_COMMAND_{k.upper()}": str(unwrap(previous.get(k, ""))) for k in _PRODUCED}
        try:
            process = subprocess.Popen(
                [*interpreter, command], cwd=Path(given["dir"]) if given.get("dir") else None, env=environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)  # fmt: skip
        except OSError as e:
            raise ProviderError(f'fork/exec {interpreter[0]}: {e.strerror or e}: running "{command}"') from e
        logging = given.get("logging") or "stdoutAndStderr"
        collected: dict[str, list[str]] = {"stdout": [], "stderr": [], "both": []}
        secret = contains_secret(inputs)

        def pump(name: str, stream: IO[str]) -> None:
            with stream:
                for line in stream:
                    collected[name].append(line)
                    collected["both"].append(line)
                    if not secret and logging in ("stdoutAndStderr", name):
                        call.log("info", line.rstrip("\n"), True)

        readers = [
            threading.Thread(target=pump, args=(n, s), daemon=True)
            for n, s in (("stdout", process.stdout), ("stderr", process.stderr))
        ]
        for r in readers:
            r.start()
        if process.stdin:
            try:
                process.stdin.write(str(given.get("stdin") or ""))
                process.stdin.close()
            except BrokenPipeError:
                pass  # a command need not read what it is given
        self._finish(call, process)
        for r in readers:
            r.join(2)
        if process.returncode:
            how = (
                f"exit status {process.returncode}"
                if process.returncode > 0
                else f"signal: {signal.Signals(-process.returncode).name}"
            )
            raise ProviderError(f'{how}: running "{command}":\n{"".join(collected["both"])}')
        return "".join(collected["stdout"]).removesuffix("\n"), "".join(collected["stderr"]).removesuffix("\n")

    @staticmethod
    def _finish(call: Call, process: subprocess.Popen[str]) -> None:
        """Waits for the command; on a Ctrl-C ends it and what it started."""
        while process.poll() is None and not call.cancel.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        for way, seconds in ((signal.SIGTERM, _SECONDS_TO_END), (signal.SIGKILL, None)):
            if process.poll() is not None:
                return
            os.killpg(process.pid, way)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)


_FACTORY: Callable[[], Provider] = CommandProvider  # checked by mypy: the class is a Provider
