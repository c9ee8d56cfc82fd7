"""The one place that knows how Pulumi is called and what its texts mean.

It drives the Automation API with less around each call: no `pulumi version`, no `stack select`, no outputs and history after
an update, each of which would be a process of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pulumi.automation import (
    CommandError,
    CommandResult,
    LocalWorkspace,
    PulumiCommand,
    StackNotFoundError,
)
from pulumi.automation import Stack as AutomationStack
from pulumi.automation.errors import create_command_error
from pulumi.automation.events import EngineEvent
from semver import VersionInfo

from .errors import BackendMissing, EngineFailed, PassphraseMissing, ProjectNotFound, StackNotConfigured
from .interrupt import Interrupt
from .locks import FileBackend
from .pulumi_cli import PulumiCli
from .steps import Diagnostic, Failure, FailureKind, Finding, LockHolder, Phase, Run, Step, belongs_to
from .verdict import essence

_VERSION_LABEL = "app.kubernetes.io/version"
_JOB_VERSION_LABEL = "rollout.formance.com/version"
_LOCK = re.compile(
    r"^[ \t]*(?P<path>\S+): created by (?P<user>[^@\s]*)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)",
    re.MULTILINE,
)
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:(?:[ \t].*)?\n)*(?:[ \t].*\Z)?")
# Texts of the CLI (pkg/secrets/passphrase, pkg/backend, pkg/cmd) that mean something the person can do something about.
_MEANINGS: tuple[tuple[str, FailureKind, str], ...] = (
    ("the stack is currently locked by", "locked", ""),
    ("[409] Conflict", "locked", ""),
    (
        "incorrect passphrase",
        "passphrase",
        "the passphrase of this stack's secrets is not the one in PULUMI_CONFIG_PASSPHRASE",
    ),
    (
        "passphrase must be set with",
        "passphrase",
        "set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE: this stack's secrets are encrypted with a passphrase",
    ),
    (
        "PULUMI_ACCESS_TOKEN must be set",
        "backend",
        "log in first: set PULUMI_BACKEND_URL or PULUMI_ACCESS_TOKEN, or run `pulumi login`",
    ),
    ("unable to open bucket", "backend", ""),
    ("could not read bucket", "backend", ""),
)

OnStep = Callable[[Step], None]


@dataclass(frozen=True)
class Project:
    """A Pulumi project's folder and what its files say, without asking the engine.

    Args:
        folder: that holds Pulumi.yaml.
        name: of the project.
        backend: its ``backend.url``, or empty.
    """

    folder: Path
    name: str
    backend: str

    @classmethod
    def load(cls, folder: Path) -> Project:
        """Reads Pulumi.yaml.

        Raises:
            ProjectNotFound: there is none.
        """
        for name in ("Pulumi.yaml", "Pulumi.yml"):
            path = folder / name
            if path.exists():
                content = _yaml(path)
                backend = content.get("backend")
                return cls(
                    folder,
                    str(content.get("name", "")),
                    str(backend.get("url", "")) if isinstance(backend, dict) else "",
                )
        raise ProjectNotFound(folder)

    def stack_file(self, stack: str) -> Path:
        """The stack's configuration file.

        Raises:
            StackNotConfigured: there is none.
        """
        path = self.folder / f"Pulumi.{stack}.yaml"
        if not path.exists():
            known = sorted(p.name.split(".")[1] for p in self.folder.glob("Pulumi.*.yaml"))
            raise StackNotConfigured(stack, self.folder, known)
        return path

    def modules(self, stack: str) -> dict[str, Any] | None:
        """The stack's modules as written; None where they are encrypted as a whole."""
        config = _yaml(self.stack_file(stack)).get("config") or {}
        modules = config.get("rollout:modules", config.get(f"{self.name}:modules"))
        return modules if isinstance(modules, dict) and "secure" not in modules else None

    def check(self, stack: str, environment: Mapping[str, str]) -> str:
        """What can be known to be missing before any process is started; returns the backend's URL, empty for the login's.

        Raises:
            StackNotConfigured, BackendMissing, PassphraseMissing
        """
        settings = _yaml(self.stack_file(stack))
        backend = environment.get("PULUMI_BACKEND_URL") or self.backend
        home = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")
        if not backend:
            backend = _logged_in(home / "credentials.json")
            if not backend and not environment.get("PULUMI_ACCESS_TOKEN"):
                raise BackendMissing
        given = "PULUMI_CONFIG_PASSPHRASE" in environment or "PULUMI_CONFIG_PASSPHRASE_FILE" in environment
        if not given and (
            "encryptionsalt" in settings or (backend.startswith("file:") and "secretsprovider" not in settings)
        ):
            raise PassphraseMissing(stack)
        return backend


def _ending_with_us() -> list[str]:
    """What starts the engine so that it ends with us even after kill -9: an engine whose program is gone would hold the lock to no
    purpose.

    util-linux's setpriv asks for it after exec. To ask between fork and exec (`preexec_fn`) makes the child run the handlers that
    gRPC has for forks, and they abort it now and then where other threads are within gRPC.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


class _Command(PulumiCommand):
    """Runs the engine's executable in a session of its own, so that Ctrl-C in a terminal reaches it only through us."""

    def __init__(self, cli: PulumiCli, interrupt: Interrupt) -> None:
        # Not super().__init__: it starts a process to ask for the version, which is known.
        self.command = str(cli.executable)
        self.version = VersionInfo.parse(cli.version)
        self._interrupt = interrupt
        self._start = _ending_with_us()

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> CommandResult:
        bin_folder = Path(self.command).parent
        env = {
            **os.environ,
            **additional_env,
            "PULUMI_AUTOMATION_API": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        process = subprocess.Popen(
            [*self._start, self.command, "--non-interactive", *(a for a in args if a != "--non-interactive")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        texts: dict[str, list[str]] = {"out": [], "err": []}

        def drain(stream: Any, into: list[str], callback: Callable[[str], Any] | None) -> None:
            for line in stream:
                into.append(line.rstrip("\n"))
                if callback:
                    callback(into[-1])

        def stop(_count: int) -> None:
            # To the engine alone: it tells its children, and a migration Job is none of them. The second ends it at once.
            if process.poll() is None:
                process.send_signal(signal.SIGINT)

        readers = [
            threading.Thread(target=drain, args=(process.stdout, texts["out"], on_output), daemon=True),
            threading.Thread(target=drain, args=(process.stderr, texts["err"], on_error), daemon=True),
        ]
        for reader in readers:
            reader.start()
        forget = self._interrupt.listen(stop)
        try:
            code = process.wait()
        finally:
            forget()
        for reader, stream in zip(readers, (process.stdout, process.stderr), strict=True):
            # A provider that outlives the engine may hold the pipes; what the engine said has been read by then.
            reader.join(5)
            if stream and not reader.is_alive():
                stream.close()
        result = CommandResult(stdout="\n".join(texts["out"]), stderr="\n".join(texts["err"]), code=code)
        if code:
            error = create_command_error(result)
            error.result = result  # type: ignore[attr-defined]
            raise error
        return result


class _Stack(AutomationStack):
    """A stack whose updates end when the engine does: outputs and history are not asked for afterwards."""

    def __init__(self, name: str, workspace: LocalWorkspace) -> None:
        # Not super().__init__: every command names the stack, so it need not be selected first.
        self.name = name
        self.workspace = workspace

    def outputs(self) -> Any:
        return {}

    def info(self, show_secrets: bool = True) -> Any:  # noqa: ARG002
        return object()


@dataclass
class Recorder:
    """Turns the engine's events into steps, diagnostics and findings."""

    on_step: OnStep | None = None
    on_event: Callable[[EngineEvent], None] | None = None
    started: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: EngineEvent) -> None:
        if self.on_event:
            self.on_event(event)
        if event.resource_pre_event:
            self._step(event.resource_pre_event.metadata, "started")
        elif event.res_outputs_event:
            self._step(event.res_outputs_event.metadata, "done")
        elif event.res_op_failed_event:
            self._step(event.res_op_failed_event.metadata, "failed")
        elif event.diagnostic_event:
            said = event.diagnostic_event
            if said.severity in ("error", "warning") and not said.ephemeral:
                self.diagnostics.append(Diagnostic(said.severity, without_traceback(said.message), said.urn or ""))
        elif event.policy_event:
            found = event.policy_event
            self.findings.append(
                Finding(
                    found.policy_name,
                    found.policy_pack_name,
                    found.message,
                    found.resource_urn or "",
                    found.enforcement_level == "mandatory",
                )
            )
        elif event.summary_event:
            self.changes = {
                str(getattr(op, "value", op)): count
                for op, count in (event.summary_event.resource_changes or {}).items()
            }

    def _step(self, metadata: Any, phase: Phase) -> None:
        step = step_of(metadata, phase, time.monotonic() - self.started)
        self.steps.append(step)
        if self.on_step:
            self.on_step(step)

    def run(self, failure: Failure | None) -> Run:
        return Run(
            failure is None,
            tuple(self.steps),
            tuple(self.diagnostics),
            tuple(self.findings),
            dict(self.changes),
            failure,
        )


def step_of(metadata: Any, phase: Phase, at: float = 0.0) -> Step:
    """A step from the metadata of one of the engine's events."""
    state = metadata.new or metadata.old
    module, part = belongs_to(metadata.urn, (state.parent if state else "") or "")
    described = _mapping(state.inputs if state else None, "metadata")
    labels = _mapping(described, "labels")
    # A Service is of all versions; what matters is which one it selects.
    selector = _mapping(_mapping(state.inputs if state else None, "spec"), "selector")
    return Step(
        urn=metadata.urn,
        kind=metadata.type.rpartition(":")[2],
        name=metadata.urn.rpartition("::")[2],
        module=module,
        part=part,
        op=str(getattr(metadata.op, "value", metadata.op)),
        phase=phase,
        object_name=str(described.get("name") or ""),
        version=str(selector.get(_VERSION_LABEL) or labels.get(_VERSION_LABEL) or labels.get(_JOB_VERSION_LABEL) or ""),
        at=at,
        had_init_errors=bool(metadata.old and metadata.old.init_errors),
        old=(metadata.old and metadata.old.inputs) or {},
        new=(metadata.new and metadata.new.inputs) or {},
        differing=tuple(metadata.detailed_diff or metadata.diffs or ()),
    )


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


class Session:
    """One stack of one project, driven by one CLI.

    Args:
        project: whose.
        stack: name.
        cli: to run.
        interrupt: to be obeyed.
        environment: variables to add for the engine.

    Attributes:
        made: the stack was not in the backend and was made there.
    """

    def __init__(
        self,
        project: Project,
        stack: str,
        cli: PulumiCli,
        interrupt: Interrupt,
        backend: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # PULUMI_PYTHON_CMD: the CLI runs a policy pack by the first python3 of the PATH, which need not have what it imports.
        python = os.environ.get("PULUMI_PYTHON_CMD", sys.executable)
        env = {"ROLLOUT_PYTHON": sys.executable, "PULUMI_PYTHON_CMD": python, **(environment or {})}
        self._workspace = LocalWorkspace(
            work_dir=str(project.folder), env_vars=env, pulumi_command=_Command(cli, interrupt)
        )
        self._stack = _Stack(stack, self._workspace)
        self._project = project
        self.name = stack
        self.made = False
        self.files = FileBackend.of(backend, project.name, stack, project.folder) if backend else None

    def preview(self, program: Callable[[], Any], recorder: Recorder, policy_packs: Sequence[str]) -> Run:
        """What an update would do. A stack that does not exist yet is made."""
        return self._call(
            recorder,
            lambda: self._stack.preview(
                program=program,
                on_event=recorder,
                policy_packs=list(policy_packs),
                color="never",
                suppress_progress=True,
            ),
        )

    def up(
        self, program: Callable[[], Any], recorder: Recorder, policy_packs: Sequence[str], continue_on_error: bool
    ) -> Run:
        """Updates the stack; the engine itself previews nothing."""
        return self._call(
            recorder,
            lambda: self._stack.up(
                program=program,
                on_event=recorder,
                policy_packs=list(policy_packs),
                continue_on_error=continue_on_error,
                color="never",
                suppress_progress=True,
                suppress_outputs=True,
                show_secrets=False,
            ),
        )

    def destroy(self, program: Callable[[], Any], recorder: Recorder) -> Run:
        """Deletes what the stack made. The program runs too, for its resources' hooks."""
        return self._call(
            recorder,
            lambda: self._stack.destroy(
                program=program,
                run_program=True,
                on_event=recorder,
                color="never",
                suppress_progress=True,
                suppress_outputs=True,
                show_secrets=False,
            ),
        )

    def hold(self, program: Callable[[], Any], message: str) -> Run:
        """Runs a program that declares nothing, as an update that excludes every resource: nothing is touched.

        The engine is asked first what that would do; where it would delete anything, it is not done.

        Args:
            program: to run while the stack's lock is held.
            message: for the history.
        """
        every = ["**"]  # also what another update may have made a moment ago
        preview, update = Recorder(), Recorder()
        run = self._call(
            preview,
            lambda: self._stack.preview(
                program=program, exclude=every, on_event=preview, color="never", suppress_progress=True
            ),
        )
        if not run.ok:
            return run
        if deleted := [s.name for s in run.steps if s.deletes]:
            return replace(run, ok=False, failure=Failure("failed", f"the engine would delete {', '.join(deleted)}"))
        return self._call(
            update,
            lambda: self._stack.up(
                program=program,
                exclude=every,
                message=message,
                on_event=update,
                color="never",
                suppress_progress=True,
                suppress_outputs=True,
                show_secrets=False,
            ),
        )

    def refresh(self, urns: Sequence[str]) -> str:
        """Tells the state what some resources are in the cluster.

        Returns:
            Why it could not; nothing if it could.
        """
        run = self._call(
            Recorder(),
            lambda: self._stack.refresh(
                target=list(urns),
                color="never",
                suppress_progress=True,
                suppress_outputs=True,
                show_secrets=False,
            ),
        )
        return "" if run.ok else "; ".join(run.errors()) or (run.failure.text if run.failure else "")

    def _call(self, recorder: Recorder, call: Callable[[], Any]) -> Run:
        for attempt in (1, 2):
            try:
                call()
            except StackNotFoundError as error:
                if attempt == 2:
                    return recorder.run(Failure("no-stack", _said(error)))
                try:
                    self._workspace.create_stack(self.name)
                    self.made = True
                except CommandError as refused:
                    return recorder.run(_failure(refused, recorder))
            except CommandError as error:
                return recorder.run(_failure(error, recorder))
            except RuntimeError as error:
                # The SDK misses the summary of a preview that was cut off.
                return recorder.run(Failure("failed", str(error)))
            else:
                return recorder.run(None)
        raise AssertionError("unreachable")

    def set_versions(self, versions: Mapping[str, str]) -> PendingConfig:
        """Writes versions into a copy of the stack's configuration file, comments kept; `PendingConfig.keep` puts it in place."""
        original = self._project.stack_file(self.name)
        copy = original.with_name(f".{original.name}.{os.getpid()}-{threading.get_ident()}.yaml")
        shutil.copy2(original, copy)
        try:
            for module, version in versions.items():
                self._run(
                    [
                        "config",
                        "set",
                        "--path",
                        "--plaintext",
                        "--config-file",
                        str(copy),
                        f"rollout:modules.{module}.version",
                        "--",
                        version,
                    ]
                )
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        return PendingConfig(original, copy)

    def config(self) -> tuple[dict[str, str], set[str]]:
        """The decrypted configuration and the keys that are secret.

        Raises:
            EngineFailed: with the reason.
        """
        try:
            values = self._workspace.get_all_config(self.name)
        except CommandError as error:
            raise EngineFailed(_failure(error, Recorder()).text) from None
        return {key: str(value.value) for key, value in values.items()}, {
            key for key, value in values.items() if value.secret
        }

    def state(self) -> dict[str, Any]:
        """The stack's deployment as exported, secrets encrypted; empty for a stack that does not exist yet.

        Raises:
            EngineFailed: with the reason.
        """
        try:
            return dict(self._workspace.export_stack(self.name).deployment or {})
        except StackNotFoundError:
            return {}
        except CommandError as error:
            raise EngineFailed(_failure(error, Recorder()).text) from None

    def pending_operations(self) -> list[str]:
        """URNs of operations that a killed update left open."""
        pending = self.files.pending_operations() if self.files else None
        if pending is not None:
            return pending
        return [str(each["resource"]["urn"]) for each in self.state().get("pending_operations") or []]

    def _run(self, args: list[str]) -> CommandResult:
        separator = args.index("--") if "--" in args else len(args)
        args = [*args[:separator], "--stack", self.name, *args[separator:]]
        return self._workspace.pulumi_command.run(args, self._workspace.work_dir, self._workspace.env_vars)


@dataclass(frozen=True)
class PendingConfig:
    """A changed copy of a stack's configuration file, to be kept or dropped."""

    original: Path
    copy: Path

    def keep(self) -> None:
        """Replaces the original in one step."""
        self.copy.replace(self.original)

    def drop(self) -> None:
        self.copy.unlink(missing_ok=True)


def _failure(error: CommandError, recorder: Recorder) -> Failure:
    result: CommandResult = getattr(error, "result", CommandResult("", str(error), 1))
    errors = [d.message for d in recorder.diagnostics if d.severity == "error"]
    return classify(result.code, result.stdout, result.stderr, errors, begun=bool(recorder.steps))


def classify(code: int, stdout: str, stderr: str, errors: Sequence[str] = (), *, begun: bool = False) -> Failure:
    """What a failed command of the engine means.

    Args:
        code: exit code; negative for a signal.
        stdout: of the command.
        stderr: likewise.
        errors: its error diagnostics, where events told of them.
        begun: it has come to the stack's resources, so that what holds it up before that did not: the same texts are then
            those of a registry or a pod.
    """
    said = stderr + "\n" + stdout
    for text, kind, meaning in _MEANINGS:
        if not begun and text in said:
            locks = (
                tuple(
                    LockHolder(m["user"], m["host"], int(m["pid"]), m["since"], m["path"]) for m in _LOCK.finditer(said)
                )
                if kind == "locked"
                else ()
            )
            return Failure(kind, meaning or _message(stderr or stdout), locks)
    if code < 0:
        name = signal.Signals(-code).name
        return Failure("killed", f"the engine was ended by {name}")
    own = [essence(e) for e in errors if e.strip() not in ("update failed", "preview failed")]
    return Failure(
        "failed",
        "\n".join(dict.fromkeys(own)) or _message(stderr or stdout) or f"the engine ended with exit code {code}",
    )


def without_traceback(text: str) -> str:
    """A message of the program without Python's traceback, which names our lines and not the person's mistake."""
    return (
        _TRACEBACK.sub("", text)
        .replace("Program failed with an unhandled exception:\n", "")
        .replace("python inline source runtime error: ", "")
    )


def _message(text: str) -> str:
    lines = [line.removeprefix("error: ") for line in without_traceback(text).strip().splitlines() if line.strip()]
    return "\n".join(lines[-12:])


def _said(error: CommandError) -> str:
    result = getattr(error, "result", None)
    return _message(result.stderr or result.stdout) if result else str(error)


def _logged_in(credentials: Path) -> str:
    try:
        return str(_yaml(credentials).get("current") or "")
    except OSError:
        return ""


def _yaml(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(path.read_text(), Loader=loader)
    return content if isinstance(content, dict) else {}
