"""preview, up, refresh, destroy: from arguments to one :class:`UpdateRequest`, and what its end means."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
import traceback
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from offline.backend.config import Value, has_secure, opened, scalar
from offline.engine import VERSION
from offline.engine.errors import (
    Cancelled,
    EngineError,
    IntegrityError,
    NoChangesExpected,
    NotCovered,
    UpdateFailed,
    UsageError,
    WrongPassphrase,
)
from offline.engine.model import PolicyPackRef, Snapshot, UpdateOptions, UpdateRequest, UpdateResult
from offline.language import Python
from offline.providers import factories

from ..main import Args
from ..session import Session

if TYPE_CHECKING:
    from ..display.text import Display

Kind = Literal["preview", "update", "refresh", "destroy"]
_SAFE_FLAGS = {"true", "false"}


def preview(args: Args) -> None:
    _Operation(args, "preview").run(dry_run=True)


def up(args: Args) -> None:
    if args.positional:
        raise NotCovered("pulumi up of a template")
    _change(args, "update")


def refresh(args: Args) -> None:
    _change(args, "refresh")


def destroy(args: Args) -> None:
    operation = _change(args, "destroy")
    if operation is None:
        return
    if args.on("remove"):
        from .stack import remove

        remove(operation.session, preserve_config=False)
        print(
            f"The resources in the stack have been deleted, and the stack '{operation.session.stack.name}' has been removed."
        )
    elif not args.on("json") and not args.many("target") and not args.many("exclude"):
        print(
            "The resources in the stack have been deleted, but the history and configuration associated with the stack are "
            f"still maintained. \nIf you want to remove the stack completely, run `pulumi stack rm {operation.session.stack.name}`."
        )


def _change(args: Args, kind: Kind) -> _Operation | None:
    operation = _Operation(args, kind)
    yes = args.on("yes") or os.environ.get("PULUMI_SKIP_CONFIRMATIONS", "").lower() in ("1", "true")
    if args.on("preview-only"):
        operation.run(dry_run=True)
        return None
    if not operation.session.interactive and not yes and not args.on("skip-preview"):
        raise UsageError("--yes or --skip-preview must be passed in to proceed when running in non-interactive mode")
    if not args.on("skip-preview"):
        operation.run(dry_run=True)
        if not yes:
            verb = "update" if kind == "update" else kind
            if input(f"Do you want to perform this {verb}? (yes/no) ").strip().lower() not in ("y", "yes"):
                raise Cancelled(f"confirmation declined, not proceeding with the {verb}")
    operation.run(dry_run=False)
    return operation


class _Operation:
    """One command. It reads the configuration and opens the secrets once, for its preview and its update."""

    def __init__(self, args: Args, kind: Kind) -> None:
        self.args, self.kind = args, kind
        self.session = session = Session(args)
        _ = session.stack  # first of all: does it exist?
        try:
            secrets = session.secrets  # begins to derive the key, while the rest is imported
            from offline.engine.update import Update

            self._update = Update
            if args.many("config"):
                self._save_config()
            raw = session.config.effective()
            secrets.verify()
            self.values: dict[str, Value] = {k: opened(v, secrets if has_secure(v) else None) for k, v in raw.items()}
        except (WrongPassphrase, UsageError) as e:
            if isinstance(e, UsageError):
                raise
            raise WrongPassphrase(f"getting stack configuration: get stack secrets manager: {e}") from e
        self.raw = {k: v if isinstance(v, (dict, list)) else scalar(v) for k, v in raw.items()}
        self.options = self._options()

    def _save_config(self) -> None:
        from .config import set_pairs

        set_pairs(self.session, self.args.many("config"), nested=self.args.on("config-path"))

    def _options(self) -> UpdateOptions:
        args = self.args
        packs, configs = args.many("policy-pack"), args.many("policy-pack-config")
        if configs and len(configs) != len(packs):
            raise UsageError("the number of --policy-pack-config flags must match the number of --policy-pack flags")
        always = (self.session.project_file.get("options") or {}).get("refresh") == "always"
        program = args.on(
            "run-program", self.kind in ("preview", "update") or os.environ.get("PULUMI_RUN_PROGRAM") == "true"
        )
        if self.kind in ("preview", "update") and not program:
            raise NotCovered(f"pulumi {args.command} --run-program=false")
        if self.kind == "refresh" and program:
            raise NotCovered("pulumi refresh --run-program")
        return UpdateOptions(
            parallel=max(1, args.number("parallel", int(os.environ.get("PULUMI_PARALLEL") or 16))),
            refresh=args.on("refresh", always),
            continue_on_error=args.on("continue-on-error") or os.environ.get("PULUMI_CONTINUE_ON_ERROR") == "true",
            targets=args.many("target"),
            excludes=args.many("exclude"),
            run_program=program,
            client=args.text("client"),
            policy_packs=[
                PolicyPackRef(Path(p), Path(c) if c else None)
                for p, c in zip(packs, configs or [""] * len(packs), strict=True)
            ],
            exec_kind=args.text("exec-kind", "cli"),
        )

    # --- running --------------------------------------------------------------------------------------------------

    def run(self, *, dry_run: bool) -> UpdateResult:
        session = self.session
        kind: Kind = "preview" if dry_run and self.kind == "update" else self.kind
        with ExitStack() as held:
            if not dry_run:
                held.enter_context(session.backend.lock(session.stack))
            state = _State(session, clear_creates=self.args.on("clear-pending-creates"))
            request = UpdateRequest(
                kind=kind, dry_run=dry_run, project=session.project, stack=session.stack.name, organization="organization",
                config={k: v.text for k, v in self.values.items()}, secret_keys=frozenset(k for k, v in self.values.items() if v.secret),
                snapshot=state.snapshot, options=self.options if kind in ("preview", "update") or not self.options.refresh else replace(self.options, refresh=False),
            )  # fmt: skip
            began = int(time.time())
            result = self._watched(request, state)
            if not dry_run:
                session.backend.add_history(session.stack, self._info(began, result))
        if result is None or not result.ok:
            raise UpdateFailed(state.broken or (result.error if result else ""))
        changed = {
            op: n for op, n in result.changes.items() if n and op not in ("same", "read", "read-discard", "refresh")
        }
        if self.args.on("expect-no-changes") and changed:
            raise NoChangesExpected(f"no changes were expected for {self.kind} but changes were proposed")
        return result

    def _watched(self, request: UpdateRequest, state: _State) -> UpdateResult | None:
        """Runs the update beside this thread, which waits for it and for signals. None if it broke."""
        from ..eventlog import EventLog

        display = self._display(request)
        log = EventLog(display, self.args.text("event-log"))
        cancel, done = threading.Event(), threading.Event()
        ended: list[UpdateResult] = []

        def work() -> None:
            try:
                update = self._update(
                    request, emit=log, save=state.save, cancel=cancel, providers=factories(), language=Python()
                )
                ended.append(update.run())
            except EngineError as e:
                state.broken = str(e)
            except Exception as e:
                state.broken = f"the offline engine failed: {type(e).__name__}: {e}\n{traceback.format_exc()}"
            finally:
                done.set()

        def on_signal(number: int, _: object) -> None:
            if cancel.is_set():
                state.abandon()
            cancel.set()
            name, again = ("^C", "press ^C") if number == signal.SIGINT else ("SIGTERM", "send SIGTERM")
            # From another thread: this one may be holding the display's lock.
            text = (
                f"{name} received; cancelling. If you would like to terminate immediately, {again} again.\n"
                "Note that terminating immediately may lead to orphaned resources and other inconsistencies.\n"
            )
            threading.Thread(target=display.message, args=(text,), daemon=True).start()

        before = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
        threading.Thread(target=work, name="update").start()
        try:
            while not done.wait(0.5):
                pass
            log.close()
        finally:
            for n, handler in before.items():
                signal.signal(n, handler)
        return ended[0] if ended and not state.broken else None

    def _display(self, request: UpdateRequest) -> Display:
        from ..display.text import Options

        args = self.args
        options = Options(
            kind=request.kind,
            preview=request.dry_run,
            stack=request.stack,
            project=request.project.name,
            suppress_outputs=args.on("suppress-outputs"),
            show_config=args.on("show-config"),
            show_sames=args.on("show-sames"),
            debug=args.on("debug"),
        )
        if args.on("json"):
            from ..display.documents import Digest, Lines

            return Digest(options) if request.dry_run else Lines()
        if args.on("diff"):
            from ..display.diff import Diff

            return Diff(options)
        from ..display.progress import Progress

        return Progress(options)

    def _info(self, began: int, result: UpdateResult | None) -> dict[str, Any]:
        changes = {k: v for k, v in sorted((result.changes if result else {}).items()) if v}
        info: dict[str, Any] = {
            "kind": self.kind, "startTime": began, "message": self.args.text("message"), "environment": self._environment(),
            "config": self.raw, "version": 0, "result": "succeeded" if result and result.ok else "failed", "endTime": int(time.time()),
        }  # fmt: skip
        return info | ({"resourceChanges": changes} if changes else {})

    def _environment(self) -> dict[str, str]:
        """What the history says about where an update came from; names of variables and flags, never their values."""
        env = {
            "exec.kind": self.options.exec_kind, "pulumi.arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            "pulumi.os": sys.platform, "pulumi.version": VERSION, "runtime.name": "client" if self.options.client else "python",
            "runtime.version": platform.python_version(), "runtime.executable": sys.executable, "stack.environments": "[]", "updatePlan": "false",
        }  # fmt: skip
        for name, value in os.environ.items():
            if name.startswith("PULUMI_"):
                env[f"pulumi.env.{name}"] = (
                    "true" if value in ("1", "true") and name != "PULUMI_AUTOMATION_API" else "set"
                )
        for flag, values in self.args.given_flags.items():
            env[f"pulumi.flag.{flag}"] = values[-1] if values[-1] in _SAFE_FLAGS else "set"
        return dict(sorted(env.items()))


class _State:
    """The stack's state during one update: read once, written whenever the engine says so."""

    def __init__(self, session: Session, *, clear_creates: bool) -> None:
        from offline.backend.checkpoint import verify
        from offline.backend.state import Encoder, snapshot_from_json

        self._session, self.broken = session, ""
        deployment = session.deployment()
        secrets = session.state_secrets(deployment)
        try:
            verify(deployment.get("resources") or [])
        except IntegrityError as e:
            raise IntegrityError(f"snapshot integrity failure; refusing to use it: {e}") from e
        self.snapshot: Snapshot = snapshot_from_json(deployment, secrets)
        if clear_creates:
            self.snapshot.pending = [p for p in self.snapshot.pending if p.type != "creating"]
        # What is written from now on is encrypted with the configuration's key, as the CLI does.
        self._encoder = Encoder(session.stack.qualified, session.secrets)
        self._lock = threading.Lock()

    def save(self, snapshot: Snapshot) -> None:
        """Raises: IntegrityError, after writing, if the state refers to what it does not hold; nothing may follow then."""
        from offline.backend.checkpoint import verify

        with self._lock:
            self._session.backend.write(self._session.stack, self._encoder.encode(snapshot))
        try:
            verify(snapshot.resources)
        except IntegrityError as e:
            stack = self._session.stack
            file = f".pulumi/stacks/{stack.project}/{stack.name}.json"
            raise IntegrityError(
                f"failed to save snapshot: {file}: snapshot integrity failure; it was already written, but is invalid "
                f"(backup available at {file}.bak): {e}"
            ) from e

    def abandon(self) -> None:
        """The second Ctrl-C: ends the process now. A write in progress ends first, so nothing is torn; the lock is released."""
        self._lock.acquire(timeout=5)
        self._session.backend.release(self._session.stack)
        os._exit(1)
