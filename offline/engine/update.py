"""One update of a stack from beginning to end: preview, up, refresh or destroy."""

from __future__ import annotations

import copy
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from .errors import EngineError
from .events import Events
from .executor import Executor
from .hooks import Hooks
from .journal import Journal
from .language import Language, Program
from .model import PROVIDER_PREFIX, STACK_TYPE, Emit, ResourceState, Save, UpdateRequest, UpdateResult, Urn
from .monitor import Monitor, MonitorDown
from .paths import Targets, dependencies_of, is_provider, make_urn, qualified_type
from .planner import Bail, Planner
from .provider import Factory, ProviderError
from .registry import INTERNAL, Providers
from .steps import Applier, Registered, Reply, Step
from .values import Properties

if TYPE_CHECKING:
    from .policy import Packs

_POLL = 0.05  # seconds until a failure in a step or Ctrl-C is noticed
_PATIENCE = 2.0  # seconds a program gets to end by itself after a failure
_FAREWELL = 10.0  # the same after a success


class Update:
    """One update.

    Args:
        request: what to do, with everything it needs.
        emit: takes the events in their order; called from several threads, one at a time.
        save: writes the state; called before and after every step, not during previews.
        cancel: set by the caller on Ctrl-C: no further step begins, those that wait are cut short.
        providers: the packages there are, by name.
        language: runs the program and the policy packs.
    """

    def __init__(
        self,
        request: UpdateRequest,
        *,
        emit: Emit,
        save: Save,
        cancel: threading.Event,
        providers: Mapping[str, Factory],
        language: Language,
    ) -> None:
        self.request, self._language = request, language
        self._cancel = cancel
        self._stop = threading.Event()
        self.events = Events(
            emit,
            planning=request.dry_run,
            secrets=[request.config[k] for k in request.secret_keys if k in request.config],
        )
        self.hooks = Hooks(self.events, cancel, dry_run=request.dry_run)
        self._base = [copy.copy(s) for s in request.snapshot.resources]
        self._providers = Providers(providers)
        snapshot = copy.copy(request.snapshot)
        snapshot.resources = self._base
        self._journal = Journal(snapshot, None if request.dry_run else save)
        self._applier = Applier(
            self._providers, self.hooks, self.events, cancel, request.dry_run, self._provider_resource
        )
        self._refreshing = request.kind == "refresh"
        self._executor = self._new_executor(continue_on_error=request.options.continue_on_error)
        self._packs: Packs | None = None
        if request.options.policy_packs and request.kind in ("preview", "update"):
            from .policy import Packs

            self._packs = Packs(language, request, self.events)
        self._planner = self._new_planner()
        self._plan_lock = threading.Lock()
        self._replies: set[Reply] = set()
        self._replies_lock = threading.Lock()
        self._closing = False
        self._defaults: dict[str, str] = {}  # references to default providers
        self._defaults_lock = threading.Lock()
        self._stack_outputs: tuple[Urn, Properties] | None = None
        self._signals: queue.Queue[str | None] = queue.Queue()
        self._skipped: set[Urn] = set()
        self._failed = False

    def _new_executor(self, *, continue_on_error: bool = False, tolerant: bool = False) -> Executor:
        return Executor(
            self._applier,
            self._journal,
            self.events,
            parallel=self.request.options.parallel,
            continue_on_error=continue_on_error,
            stop=self._stop,
            refreshing=self._refreshing,
            tolerant=tolerant,
        )

    def _new_planner(self) -> Planner:
        return Planner(
            self._base,
            self.request.options,
            self._applier,
            self.events,
            self._packs,
            destroying=self.request.kind == "destroy",
        )

    def _provider_resource(self, urn: Urn, id: str) -> ResourceState | None:
        return next((s for s in self._base if s.urn == urn and s.id == id), None)

    # --- the course of an update --------------------------------------------------------------------------------

    def run(self) -> UpdateResult:
        """Performs it.

        Returns:
            How it ended. Everything the user should know went out as events before, but for ``error``.
        """
        request, events = self.request, self.events
        with_program = request.kind in ("preview", "update") or (
            request.kind == "destroy" and request.options.run_program
        )
        program: Program | None = None
        monitor: Monitor | None = None
        try:
            if request.kind == "destroy" and not with_program and (error := self._orphaned_hooks()):
                return UpdateResult(False, {}, error=error)
            if with_program:
                program = self._language.program(request, events, self._signals.put)  # imports meanwhile
                monitor = Monitor(self)
                if self._packs is not None:
                    events.send("policyLoadEvent", {})
                    self._packs.load(monitor.address)
            events.prelude(request.config, request.secret_keys)
            told = self._before()
            if not (told or self._stop.is_set() or self._refreshing):
                if program is not None and monitor is not None:
                    program.connect(monitor.address)
                told = self._main(program)
            self._executor.drain()
            if self._executor.crash is not None:
                raise self._executor.crash
            told = self._finish(told)
            ok = not (told or self._failed)
            broken = self._save_last()
            ok = ok and not broken
            self._summary(ok=ok)
            return UpdateResult(ok, dict(events.changes), self._cancel.is_set() and not ok, broken)
        except (ProviderError, EngineError) as e:
            events.error(str(e))
            self._summary(ok=False)
            return UpdateResult(False, dict(events.changes))
        finally:
            events.muted = True
            self._shut_down(program, monitor)
            events.send("cancelEvent", {})

    def _summary(self, *, ok: bool) -> None:
        packs = {} if self._packs is None else self._packs.versions
        self.events.summary(ok=ok, policy_packs=packs)

    def _save_last(self) -> str:
        """Writes what was not worth a write of its own. Returns what went wrong with it."""
        if not self.request.dry_run:
            try:
                self._journal.flush()
            except EngineError as e:
                return str(e)
        return ""

    def _orphaned_hooks(self) -> str:
        """Hooks on deletions live in the program; without it, what they guard would go unguarded."""
        found = False
        for s in reversed(self._base):
            names = [n for kind in ("BeforeDelete", "AfterDelete") for n in s.hooks.get(kind, ())]
            if names:
                found = True
                text = "Resource has delete hooks registered, but the program is not running. Hooks: " + ", ".join(
                    names
                )
                self.events.error(text, s.urn)
        return "You must run with the `--run-program` flag to use delete hooks during destroy." if found else ""

    def _before(self) -> bool:
        """Refresh, if asked for; a word on interrupted operations otherwise. True if the update ends here."""
        if self._refreshing or self.request.options.refresh:
            return self._refresh()
        pending = self.request.snapshot.pending
        if pending and not self.request.dry_run:
            lines = "".join(f"  * {p.resource.urn}, interrupted while {p.type}\n" for p in pending)
            self.events.diagnostic(
                "warning",
                f"Attempting to deploy or update resources with {len(pending)} pending operations from previous "
                f"deployment.\n{lines}These resources are in an unknown state because the Pulumi CLI was interrupted while "
                "waiting for changes to these resources to complete. You should confirm whether or not the operations "
                "listed completed successfully by checking the state of the appropriate provider. For example, if you are "
                "using AWS, you can confirm using the AWS Console.\n\nOnce you have confirmed the status of the interrupted "
                "operations, you can repair your stack using `pulumi refresh` which will refresh the state from the "
                "provider you are using and clear the pending operations if there are any.\n\nNote that `pulumi refresh` "
                "will need to be run interactively to clear pending CREATE operations.",
            )
        return False

    def _main(self, program: Program | None) -> bool:
        """Registrations, then deletions. True if it ended in an error that was told."""
        while program is not None and not self._stop.is_set():
            if self._cancel.is_set():
                self._stop.set()
                break
            try:
                error = self._signals.get(timeout=_POLL)
            except queue.Empty:
                continue
            if error is None:
                break
            self._stop.set()
            if error:
                self.events.error(error)
            return True
        self._executor.drain()
        if self._stop.is_set():
            return self._failed
        missing = self._planner.missing_targets()
        told = self._delete()
        for urn in missing:
            self.events.error(f"Resource '{urn}' could not be found in the stack.")
        return told or bool(missing)

    def _delete(self) -> bool:
        try:
            with self._plan_lock:
                keeps, waves = self._planner.plan_deletions()
        except Bail:
            return True
        for step in keeps:
            self._executor.submit([step]).result()
        for wave in waves:
            if self._cancel.is_set():
                self._stop.set()
            if self._stop.is_set():
                break
            held = self._planner.held_by(self._executor.failed)
            self._executor.run_all(s for s in wave if id(s.res) not in held)
        return False

    def _finish(self, told: bool) -> bool:
        """Stack outputs, stack policies, and the last word on a failure. True if the update has failed."""
        packs = self._packs
        stopped = self._executor.errored or self._planner.errored or (packs is not None and packs.errored)
        if self._stack_outputs is not None:
            urn, outputs = self._stack_outputs
            old = self._planner.olds.get(urn)
            if (told or stopped) and old is not None:
                outputs = {**old.outputs, **outputs}  # what the program did not get to is not gone
            self._executor.outputs(urn, outputs)
        if told:
            return True
        if packs is not None and not (self._executor.errored or self._stop.is_set()):
            stopped = packs.check_stack(self._executor.news.values(), self._planner) or stopped
        kind = "preview" if self.request.dry_run else "update"
        if stopped:
            self.events.error(f"{kind} failed")
        elif self._cancel.is_set():
            self.events.error(f"{kind} canceled")
            return True
        return stopped

    def _shut_down(self, program: Program | None, monitor: Monitor | None) -> None:
        with self._replies_lock:
            self._closing = True
            replies = list(self._replies)
        for reply in replies:
            if not reply.done():
                reply.set_exception(MonitorDown())
        if monitor is not None:
            monitor.release()
        if program is not None:
            fine = monitor is not None and not (self._stop.is_set() or self._failed)
            program.stop(patience=_FAREWELL if fine else _PATIENCE if monitor is not None else 0)
        if monitor is not None:
            monitor.close()
        if self._packs is not None:
            self._packs.close()
        self._executor.close()
        self._providers.close()
        self.hooks.close()

    # --- refresh ------------------------------------------------------------------------------------------------

    def _refresh(self) -> bool:
        """Asks the providers what has become of every resource. True if that failed."""
        options = self.request.options
        targets, excludes = Targets(options.targets), Targets(options.excludes)
        chosen = [s for s in self._base if (not targets or s.urn in targets) and s.urn not in excludes]
        steps = {id(s): Step("refresh", s, s, logical=False) for s in chosen}
        executor = self._new_executor(tolerant=True)
        simple = [s for s in chosen if not s.custom or is_provider(s.type)]
        for s in simple:
            executor.submit([steps[id(s)]]).result()
        executor.run_all(steps[id(s)] for s in chosen if id(s) not in {id(x) for x in simple})
        executor.close()
        if executor.crash is not None:
            raise executor.crash
        if self._cancel.is_set():
            self._stop.set()
        self._rebase(steps)
        if executor.failed:
            self._failed = True
            self.events.error(("preview" if self.request.dry_run else "update") + " failed")
        return bool(executor.failed)

    def _rebase(self, steps: Mapping[int, Step]) -> None:
        """What the refresh found becomes the state before the update, without references to what is gone."""
        kept: list[ResourceState] = []
        alive: set[Urn] = set()
        heirs: dict[Urn, Urn] = {}  # a gone parent's parent
        for s in self._base:
            found = steps[id(s)].new if id(s) in steps else s
            if found is None:
                heirs[s.urn] = s.parent
                continue
            alive.add(found.urn)
            kept.append(found)
        for s in kept:
            s.dependencies = [u for u in s.dependencies if u in alive]
            # The CLI drops properties without dependencies here, and only here.
            per_property = {k: [u for u in us if u in alive] for k, us in s.property_dependencies.items()}
            s.property_dependencies = {k: us for k, us in per_property.items() if us}
            while s.parent and s.parent not in alive:
                s.parent = heirs.get(s.parent, "")
        self._base = kept
        self._journal.rebase(kept)
        self._planner = self._new_planner()

    # --- what the program asks for ------------------------------------------------------------------------------

    def program_done(self) -> None:
        self._signals.put(None)

    def register(self, wanted: ResourceState) -> Registered:
        """Brings a resource to what is wanted of it; returns when that is done.

        Raises:
            MonitorDown: the update ended before.
        """
        reply: Reply = Future()
        with self._replies_lock:
            if self._closing:
                raise MonitorDown
            self._replies.add(reply)
        try:
            with self._plan_lock:
                steps = [] if self._stop.is_set() else self._plan(wanted, reply)
            if steps:
                self._executor.submit(steps)
            return reply.result()
        finally:
            with self._replies_lock:
                self._replies.discard(reply)

    def _plan(self, wanted: ResourceState, reply: Reply) -> list[Step]:
        try:
            steps = self._planner.plan(wanted, reply)
        except Bail:
            self._fail()
            return []
        except Exception as e:
            self.events.error(str(e) or type(e).__name__, wanted.urn)
            self._fail()
            return []
        self._skipped |= {s.urn for s in self._executor.failed}
        chosen = []
        for step in steps:
            if self._skipped and step.new is not None and dependencies_of(step.new) & self._skipped:
                self._skipped.add(step.urn)
                step.answer("skip")
            else:
                chosen.append(step)
        return chosen

    def _fail(self) -> None:
        self._failed = True
        self._stop.set()

    def register_outputs(self, urn: Urn, outputs: Properties) -> None:
        if qualified_type(urn) == STACK_TYPE:
            self._stack_outputs = (urn, outputs)  # they are final when it is known whether all went well
        elif not self._executor.outputs(urn, outputs):
            raise ValueError(f"cannot complete a resource '{urn}' whose registration isn't pending")

    def default_provider(self, package: str, version: str, url: str) -> str:
        """A reference to the provider of a package for resources that name none."""
        name = "default" + "".join(f"_{part}" for part in (version, url) if part)
        name = "".join(c if c.isalnum() else "_" for c in name)
        urn = make_urn(self.request.stack, self.request.project.name, "", PROVIDER_PREFIX + package, name)
        with self._defaults_lock:
            if urn not in self._defaults:
                prefix = f"{package}:"
                inputs = {k.removeprefix(prefix): v for k, v in self.request.config.items() if k.startswith(prefix)}
                more: Properties = {"version": version} if version else {}
                more[INTERNAL] = {"pluginDownloadURL": url} if url else {}
                wanted = ResourceState(urn, PROVIDER_PREFIX + package, custom=True, inputs=inputs | more)
                self._defaults[urn] = f"{urn}::{self.register(wanted).state.id}"
            return self._defaults[urn]
