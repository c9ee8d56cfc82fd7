"""The stack's state while an update runs, on disk before anything happens that it does not yet tell.

Every step is announced before its provider is called (a pending operation) and recorded when it ends. A write that
another thread has begun meanwhile serves all who wait: a hundred parallel steps cost a few writes, not two hundred.
"""

from __future__ import annotations

import copy
import threading
from typing import Literal

from .model import PendingOperation, ResourceState, Save, Snapshot
from .steps import Step

_PENDING: dict[str, Literal["creating", "updating", "deleting"]] = {
    "create": "creating",
    "create-replacement": "creating",
    "update": "updating",
    "delete": "deleting",
    "delete-replaced": "deleting",
}


class Journal:
    """Keeps the order of the CLI: what this update has touched in the order of completion, then the rest as it was.

    Args:
        base: the state before the update.
        save: writes a snapshot; never called twice at a time.
    """

    def __init__(self, base: Snapshot, save: Save | None) -> None:
        self._save = save
        self._metadata = base.metadata
        self.base = list(base.resources)
        self._news: list[ResourceState] = []
        self._done: set[int] = set()
        self._published = {id(s): copy.copy(s) for s in self.base}
        self._pending: dict[int, PendingOperation] = {}
        # A creation that was cut off stays noted until someone has looked (`refresh`, `stack import`), as in the CLI.
        self._unfinished = [p for p in base.pending if p.type == "creating"]
        self._lock = threading.Lock()
        self._writer = threading.Lock()
        self._version = self._written = 0

    def snapshot(self) -> Snapshot:
        with self._lock:
            return self._snapshot()

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            [self._published[id(s)] for s in (*self._news, *self.base) if id(s) not in self._done],
            [*self._unfinished, *self._pending.values()],
            self._metadata,
        )

    def begin(self, step: Step) -> None:
        if kind := _PENDING.get(step.op):
            state = step.new if step.new is not None else step.old
            assert state is not None
            with self._lock:
                self._pending[id(step)] = PendingOperation(copy.copy(state), kind)
                self._version += 1
            self.flush()

    def end(self, step: Step, *, recorded: bool) -> None:
        """Records a step that ended. ``recorded`` is false if nothing came of it."""
        with self._lock:
            announced = self._pending.pop(id(step), None)
            if recorded:
                self._apply(step)
            self._version += 1
        if announced:
            self.flush()

    def _apply(self, step: Step) -> None:
        old, new = step.old, step.new
        if step.op == "replace" or step.skipped_create:
            return
        if step.op.startswith(("delete", "remove")):
            assert old is not None
            if step.pending_replacement:
                self._publish(old)
            else:
                self._done.add(id(old))
            return
        if old is not None:
            if step.op == "create-replacement" and not old.pending_replacement:
                self._publish(old)
            else:
                self._done.add(id(old))
        if new is not None:
            self._news.append(new)
            self._publish(new)

    def _publish(self, state: ResourceState) -> None:
        self._published[id(state)] = copy.copy(state)

    def changed(self, state: ResourceState) -> None:
        """A recorded resource has got other outputs (``RegisterResourceOutputs``)."""
        with self._lock:
            self._publish(state)
            self._version += 1

    def rebase(self, resources: list[ResourceState]) -> None:
        """After a refresh: this is what was there before the update proper."""
        with self._lock:
            self.base = list(resources)
            self._news, self._done = [], set()  # a refreshed resource may be the same object as before: not done with
            for s in resources:
                self._publish(s)
            self._version += 1

    def flush(self) -> None:
        """Returns when a snapshot with everything up to now is on disk."""
        if self._save is None:
            return
        with self._lock:
            wanted = self._version
        with self._writer:
            if self._written >= wanted:
                return
            with self._lock:
                target, snapshot = self._version, self._snapshot()
            self._save(snapshot)
            self._written = target
