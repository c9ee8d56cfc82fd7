"""Runs chains of steps in parallel, tells the journal and the events about each, and stops at the first failure."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Literal

from .events import Events
from .journal import Journal
from .model import ResourceState, Urn
from .paths import is_default_provider
from .provider import InitError
from .steps import Applier, DeleteProtected, Step
from .values import Properties

Chain = Sequence[Step]


class Executor:
    """A chain's steps run one after the other; chains run side by side, at most ``parallel`` of them.

    Args:
        stop: set when no further step may begin: after a failure, or on Ctrl-C. Steps in flight finish.
        refreshing: the update is `refresh`: its steps count with what they found.
        tolerant: a failed step is told, but stops nothing (refreshes).
    """

    def __init__(
        self,
        applier: Applier,
        journal: Journal,
        events: Events,
        *,
        parallel: int,
        continue_on_error: bool,
        stop: threading.Event,
        refreshing: bool = False,
        tolerant: bool = False,
    ) -> None:
        self._applier, self._journal, self._events = applier, journal, events
        self._pool = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="step")
        self._continue = continue_on_error or tolerant
        self._refreshing = refreshing
        self._lock = threading.Lock()
        self._running: set[Future[None]] = set()
        self._registered: dict[Urn, Step] = {}  # awaiting RegisterResourceOutputs
        self.stop = stop
        self.failed: list[Step] = []
        self.crash: BaseException | None = None
        self.news: dict[Urn, ResourceState] = {}

    @property
    def errored(self) -> bool:
        return bool(self.failed or self._applier.post_errors)

    def submit(self, chain: Chain) -> Future[None]:
        with self._lock:
            future = self._pool.submit(self._run, chain)
            self._running.add(future)
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[None]) -> None:
        with self._lock:
            self._running.discard(future)

    def run_all(self, steps: Iterable[Step]) -> None:
        """Runs steps side by side and returns when all have ended."""
        for future in [self.submit([s]) for s in steps]:
            future.result()

    def drain(self) -> None:
        """Returns when nothing is in flight."""
        with self._lock:
            running = list(self._running)
        wait(running)

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def _run(self, chain: Chain) -> None:
        try:
            for step in chain:
                if self.stop.is_set() or not self._step(step):
                    return
        except BaseException as e:  # not the step's failure but ours (or the display's): the update must end, not hang
            self.crash = self.crash or e
            self.stop.set()

    def _step(self, step: Step) -> bool:
        events, dry_run = self._events, self._applier.dry_run
        error: Exception | None = None
        events.pre(step)
        if not dry_run:
            try:
                self._journal.begin(step)
            except Exception as e:
                events.error(f"pre-step event returned an error: {e}", step.urn)
                return self._lost(step, e)
        try:
            self._applier.apply(step)
        except Exception as e:
            error = e
        if step.new is not None and step.op != "replace" and error is None:
            with self._lock:
                self.news[step.urn] = step.new
                if step.logical or step.op == "create-replacement":
                    self._registered[step.urn] = step
        if error is None:
            self._count(step)
            if dry_run or step.res.custom or step.op in ("delete", "refresh"):
                events.outputs(step, step.result_op if self._refreshing else "")
        else:
            events.failed(step, error)
        if not dry_run:
            try:
                self._journal.end(step, recorded=error is None or isinstance(error, InitError))
            except Exception as e:
                events.error(f"post-step event returned an error: {e}", step.urn)
                error = error or e
        if error is None:
            step.answer()
            if self._applier.post_errors and not self._continue:
                self.stop.set()
            return True
        return self._lost(step, error)

    def _lost(self, step: Step, error: Exception) -> Literal[False]:
        with self._lock:
            self.failed.append(step)
        if self._continue:
            step.answer("fail")
        elif not isinstance(error, DeleteProtected):
            self.stop.set()
        return False

    def _count(self, step: Step) -> None:
        op, counts = step.op, step.logical
        if op == "refresh":
            op, counts = step.result_op, self._refreshing
        if counts and not is_default_provider(step.urn):
            with self._lock:
                self._events.changes[op] += 1

    def outputs(self, urn: Urn, outputs: Properties) -> bool:
        """``RegisterResourceOutputs`` of a component. False if no such registration is open."""
        with self._lock:
            step = self._registered.pop(urn, None)
        if step is None:
            return False
        if step.skipped_create:
            return True
        state = step.new
        assert state is not None
        before = state.outputs
        state.outputs = dict(outputs)
        if not state.custom and step.op in ("create", "update"):
            kind = "AfterCreate" if step.op == "create" else "AfterUpdate"
            old = step.old if step.op == "update" else None
            self._applier.after(kind, state, old=old, new=state, new_outputs=state.outputs)
        self._events.outputs(step)
        if not self._applier.dry_run:
            self._journal.changed(state)
            if before != state.outputs:
                self._journal.flush()
        if self._applier.post_errors and not self._continue:
            self.stop.set()
        return True
