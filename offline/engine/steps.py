"""What one step does: same, create, update, delete, replace, refresh. The planner decides them, the executor runs them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .events import Events, error_text
from .model import ResourceState, Urn
from .paths import is_provider
from .provider import Call, Diff, InitError, Made, Manager, PropertyDiff, ProviderError, Seen, Uncertain
from .registry import Providers
from .values import Properties, Secret

if TYPE_CHECKING:
    from .hooks import Hooks


@dataclass(frozen=True)
class Registered:
    """The engine's answer to a registration."""

    state: ResourceState
    result: str = "success"  # or fail, skip: only under --continue-on-error
    unknown: bool = False  # nothing was made, because of --target


Reply = Future[Registered]


@dataclass(eq=False)
class Step:
    """One operation on one resource.

    Args:
        op: the name of the operation in events and summaries.
        old: the resource before, None for one that is new.
        new: the resource after, None for one that is gone.
        reply: who asked for it, None for deletions and refreshes.
        keys: the properties that force a replacement.
        logical: whether the operation counts for the user: of a replacement only "replace" does.
        pending_replacement: a deletion after which the same update creates the resource anew.
        pending_delete: a creation whose predecessor is deleted at the end of the update.
        skipped_create: would be a creation, but is outside of --target.
    """

    op: str
    old: ResourceState | None
    new: ResourceState | None
    reply: Reply | None = None
    keys: Sequence[str] = ()
    diffs: Sequence[str] = ()
    detailed: Mapping[str, PropertyDiff] | None = None
    logical: bool = True
    pending_replacement: bool = False
    pending_delete: bool = False
    skipped_create: bool = False
    untargeted: bool = False
    ignore_changes: Sequence[str] = ()
    result_op: str = ""  # of a refresh: same, update or delete

    @property
    def res(self) -> ResourceState:
        if self.old is not None and (self.new is None or self.op == "refresh"):
            return self.old
        assert self.new is not None
        return self.new

    @property
    def urn(self) -> Urn:
        return self.res.urn

    def answer(self, result: str = "success") -> None:
        if self.reply is not None and not self.reply.done():
            self.reply.set_result(Registered(self.res, result, self.skipped_create and result == "success"))


def now() -> str:
    """The time as the state holds it: RFC 3339 with nanoseconds, in UTC."""
    ns = time.time_ns()
    return (
        f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}".rstrip("0").rstrip(".") + "Z"
    )


def mark_secrets(state: ResourceState) -> None:
    """Wraps outputs that the program named secret, and outputs named like an input that holds a secret.

    The second keeps what the provider already wrapped as it is: a secret inside ``data`` need not hide all of ``data``.
    """
    hidden = {
        key: Secret(value)
        for key, value in state.outputs.items()
        if key in state.additional_secret_outputs or isinstance(state.inputs.get(key), Secret)
        if not isinstance(value, Secret)
    }
    if hidden:
        state.outputs = {**state.outputs, **hidden}


@dataclass
class Applier:
    """Carries out steps against their providers.

    Args:
        known: finds a provider resource by URN and id in the state.
        post_errors: errors of hooks that run after a step; they fail the update, not the step.
    """

    providers: Providers
    hooks: Hooks
    events: Events
    cancel: threading.Event
    dry_run: bool
    known: Callable[[Urn, str], ResourceState | None]
    post_errors: list[str] = field(default_factory=list)

    def apply(self, step: Step) -> None:
        """Does what the step says and fills in its ``new`` state.

        Raises:
            InitError: the object exists, but is not ready; ``new`` describes it.
            Exception: nothing came of it.
        """
        match step.op:
            case "same":
                self._same(step)
            case "create" | "create-replacement":
                self._create(step)
            case "update":
                self._update(step)
            case "delete" | "delete-replaced":
                self._delete(step)
            case "refresh":
                self._refresh(step)
        if step.new is not None and step.op != "replace":
            mark_secrets(step.new)

    def provider(self, state: ResourceState) -> Manager:
        return self.providers.of(state, self.known)

    def call(self, state: ResourceState, operation: str = "") -> Call:
        def log(severity: str, message: str, ephemeral: bool) -> None:
            self.events.diagnostic(severity, message, urn=state.urn, ephemeral=ephemeral)

        return Call(state.urn, log, self.cancel, state.custom_timeouts.get(operation, 0.0), self.dry_run)

    def diff(self, state: ResourceState, news: Properties, ignore_changes: Sequence[str]) -> Diff:
        return self.provider(state).diff(self.call(state), state.type, _seen(state), news, ignore_changes)

    def _same(self, step: Step) -> None:
        old, new = step.old, step.new
        assert new is not None
        if old is None:  # outside of --target
            return
        new.id, new.outputs = old.id, old.outputs
        if is_provider(new.type) and not step.untargeted:
            self.providers.load(f"{new.urn}::{new.id}", old.inputs)

    def _create(self, step: Step) -> None:
        new = step.new
        assert new is not None
        self.hooks.run("BeforeCreate", new, new=new)
        problem: InitError | None = None
        if new.custom:
            provider = self.provider(new)
            made, problem = _made(lambda: provider.create(self.call(new, "create"), new.type, new.inputs))
            if not made.id and not self.dry_run:
                raise ProviderError("provider did not return an ID from Create")
            new.id, new.outputs = made.id, dict(made.outputs)
        new.init_errors = problem.reasons if problem else []
        new.created = new.modified = now()
        if step.pending_delete and step.old is not None:
            step.old.delete = True
        if problem:
            raise problem
        if new.custom:
            self.after("AfterCreate", new, new=new, new_outputs=new.outputs)

    def _update(self, step: Step) -> None:
        old, new = step.old, step.new
        assert old is not None
        assert new is not None
        new.id, new.created, new.modified = old.id, old.created, old.modified
        self.hooks.run("BeforeUpdate", new, old=old, new=new, old_outputs=old.outputs)
        problem: InitError | None = None
        if new.custom:
            provider, call = self.provider(new), self.call(new, "update")
            made, problem = _made(lambda: provider.update(call, new.type, _seen(old), new.inputs, step.ignore_changes))
            new.id, new.outputs = made.id or old.id, dict(made.outputs)
        else:
            new.outputs = dict(old.outputs)
        new.init_errors = problem.reasons if problem else []
        if new.inputs != old.inputs or new.outputs != old.outputs:
            new.modified = now()
        if problem:
            # The object was not brought to the new inputs: a later update must still see the difference.
            new.inputs = old.inputs
            raise problem
        if new.custom:
            self.after("AfterUpdate", new, old=old, new=new, old_outputs=old.outputs, new_outputs=new.outputs)

    def _delete(self, step: Step) -> None:
        old = step.old
        assert old is not None
        self.hooks.run("BeforeDelete", old, old=old, old_outputs=old.outputs)
        if step.op == "delete" and old.protect:
            raise DeleteProtected(old.urn)
        if old.custom and not (self.dry_run or old.retain_on_delete):
            provider, call = self.provider(old), self.call(old, "delete")
            try:
                provider.delete(call, old.type, _seen(old))
            except Exception as e:
                raise Uncertain(error_text(e)) from e
        if step.pending_replacement:
            old.pending_replacement = True
        self.after("AfterDelete", old, old=old, old_outputs=old.outputs)

    def _refresh(self, step: Step) -> None:
        old = step.old
        assert old is not None
        step.result_op = "same"
        if not old.custom or is_provider(old.type) or old.pending_replacement:
            return
        provider, reasons = self.provider(old), []
        try:
            made = provider.read(self.call(old), old.type, _seen(old))
        except InitError as e:
            made, reasons = e.made, e.reasons
            text = "Refreshed resource is in an unhealthy state:\n* " + "\n* ".join(reasons)
            self.events.diagnostic("warning", text, urn=old.urn)
        if made is None or not made.id:
            step.new, step.result_op = None, "delete"
            return
        inputs = old.inputs if made.inputs is None else made.inputs
        new = replace(old, id=made.id, inputs=inputs, outputs=dict(made.outputs), init_errors=reasons)
        if new.inputs != old.inputs or new.outputs != old.outputs:
            new.modified = now()
        step.new = new
        # What would bring the object back to the old inputs, told the other way round: what has happened to it.
        diff = self.diff(new, old.inputs, old.ignore_changes)
        step.diffs, step.detailed = list(diff.diffs), {p: _inverted(d) for p, d in diff.detailed.items()}
        step.result_op = "update" if diff.changes else "same"

    def after(self, hook: str, state: ResourceState, **values: object) -> None:
        try:
            self.hooks.run(hook, state, **values)  # type: ignore[arg-type]
        except Exception as e:
            self.events.error(str(e), state.urn)
            self.post_errors.append(str(e))


def _seen(state: ResourceState) -> Seen:
    return Seen(state.id, state.inputs, state.outputs)


def _made(operation: Callable[[], Made]) -> tuple[Made, InitError | None]:
    """What an operation made, also if that did not become ready."""
    try:
        return operation(), None
    except InitError as e:
        return e.made, e


class DeleteProtected(ProviderError):
    """Protection holds one resource, not the update: the others are still deleted, and each refusal is told."""

    def __init__(self, urn: Urn) -> None:
        super().__init__(
            f'resource "{urn}" cannot be deleted\nbecause it is protected. To unprotect the resource, either remove the '
            "`protect` flag from the resource in your Pulumi program and run `pulumi up`, or use the command:\n"
            f"`pulumi state unprotect '{urn}'`"
        )


def _inverted(diff: PropertyDiff) -> PropertyDiff:
    swap = {"add": "delete", "delete": "add"}
    head, _, tail = diff.kind.partition("-")
    kind = swap.get(head, head) + (f"-{tail}" if tail else "")
    return PropertyDiff(kind, diff.input_diff)
