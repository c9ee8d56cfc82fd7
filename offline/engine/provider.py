"""The provider interface: ``pulumirpc.ResourceProvider`` with Python values instead of messages.

All properties are live values (see ``values``): secrets wrapped, unknowns only where ``preview`` is true. Outputs derived
from secret inputs must be wrapped again; the engine does that for whole top-level properties, as the CLI does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .model import Urn
from .values import Properties


@dataclass(frozen=True)
class CheckFailure:
    property: str
    reason: str


@dataclass(frozen=True)
class PropertyDiff:
    """One entry of a detailed diff. ``kind`` is the wire name: add, add-replace, delete, delete-replace, update, update-replace."""

    kind: str
    input_diff: bool = True


@dataclass(frozen=True)
class Diff:
    changes: bool
    replaces: Sequence[str] = ()  # property paths that force a replacement
    diffs: Sequence[str] = ()  # top-level properties that changed
    detailed: Mapping[str, PropertyDiff] = field(default_factory=dict)
    delete_before_replace: bool = False


@dataclass(frozen=True)
class Made:
    """The result of create, update and read: the object's id and outputs."""

    id: str
    outputs: Properties
    inputs: Properties | None = None  # read only: the inputs as they are now


@dataclass(frozen=True)
class Seen:
    """The object as this engine last saw it: its id, the inputs that made it, and its outputs."""

    id: str
    inputs: Properties
    outputs: Properties


class ProviderError(Exception):
    """The operation did not happen. The text is what the user sees after ``error: ``."""


class InitError(ProviderError):
    """The object exists but did not become ready: it goes to the state with these reasons (``ErrorResourceInitFailed``)."""

    def __init__(self, made: Made, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.made = made
        self.reasons = list(reasons)


class Uncertain(ProviderError):
    """The provider failed in the middle of a deletion: what has become of the object is not known."""


Severity = Literal["debug", "info", "warning", "error"]
Log = Callable[[Severity, str, bool], None]  # severity, message, ephemeral (a status line rather than a diagnostic)


@dataclass(frozen=True)
class Call:
    """What every call on one resource gets beside its values.

    Args:
        urn: of the resource.
        log: reports progress and diagnostics of this resource; ephemeral messages are the status lines.
        cancel: set on Ctrl-C; a waiting call returns soon after with :class:`InitError` or :class:`ProviderError`.
        timeout: seconds from ``customTimeouts`` for this operation, 0 if none.
    """

    urn: Urn
    log: Log
    cancel: threading.Event
    timeout: float = 0.0
    preview: bool = False


class Manager(Protocol):
    """What manages resources."""

    def check(self, call: Call, type: str, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        """Validated inputs with defaults and the automatic name. ``olds`` are the old inputs, {} if new."""

    def diff(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Diff: ...

    def create(self, call: Call, type: str, inputs: Properties) -> Made:
        """Makes the object and waits until it is ready. With ``call.preview`` nothing is made and outputs are a guess with unknowns."""

    def read(self, call: Call, type: str, old: Seen) -> Made | None:
        """The object as it is now, None if it is gone. Of a resource never seen (``.get``) only the id is known."""

    def update(
        self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()
    ) -> Made: ...

    def delete(self, call: Call, type: str, old: Seen) -> None:
        """Deletes the object and waits until it is gone; no error if it was gone already."""


class Provider(Manager, Protocol):
    """One configured provider (a ``pulumi:providers:<package>`` resource)."""

    def configure(self, inputs: Properties) -> None:
        """Takes the provider resource's inputs (e.g. kubeconfig, namespace). Called once, before any other call on a resource."""

    def check_config(self, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        """The provider resource's inputs with defaults from the environment filled in."""

    def diff_config(self, olds: Properties, news: Properties) -> Diff: ...

    def close(self) -> None:
        """Ends connections and threads."""


Factory = Callable[[], Provider]
