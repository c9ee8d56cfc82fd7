"""What the engine remembers of a stack, and what one update is asked to do. Values only, no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # values brings protobuf, which commands that run no update do not need
    from .values import Properties

Urn = str
STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_PREFIX = "pulumi:providers:"
# Keys and values by which Pulumi marks what is not plain JSON (``sdk/go/common/resource/properties.go``).
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN_WIRE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


@dataclass
class ResourceState:
    """One entry of the checkpoint's ``resources`` (``apitype.ResourceV3``). Inputs and outputs are live values.

    ``raw`` keeps the fields this engine does not act on (source positions, stack traces, ...), so that nothing the
    CLI wrote is lost.
    """

    urn: Urn
    type: str
    custom: bool
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: Urn = ""
    provider: str = ""  # "<provider urn>::<provider id>"
    dependencies: list[Urn] = field(default_factory=list)
    property_dependencies: dict[str, list[Urn]] = field(default_factory=dict)
    init_errors: list[str] = field(default_factory=list)
    protect: bool = False
    retain_on_delete: bool = False
    delete: bool = False  # replaced or condemned, still to be deleted
    pending_replacement: bool = False
    aliases: list[Urn] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)  # seconds: create, update, delete
    ignore_changes: list[str] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    hooks: dict[str, list[str]] = field(default_factory=dict)
    created: str = ""  # RFC 3339
    modified: str = ""
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.urn.rsplit("::", 1)[1]


@dataclass
class PendingOperation:
    """A step that had begun when the state was last written (``apitype.OperationV2``)."""

    resource: ResourceState
    type: Literal["creating", "updating", "deleting", "reading", "importing"]


@dataclass
class Snapshot:
    """The state of a stack in the order in which its resources were made: dependencies before dependents."""

    resources: list[ResourceState] = field(default_factory=list)
    pending: list[PendingOperation] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Project:
    """``Pulumi.yaml``."""

    name: str
    root: Path  # the folder that holds Pulumi.yaml
    runtime: str = "python"
    runtime_options: Mapping[str, Any] = field(default_factory=dict)  # virtualenv, toolchain, ...
    main: str = ""
    description: str = ""


@dataclass(frozen=True)
class PolicyPackRef:
    """A local policy pack and, if given, its configuration file."""

    path: Path
    config: Path | None = None


@dataclass(frozen=True)
class UpdateOptions:
    parallel: int = 16
    refresh: bool = False
    continue_on_error: bool = False
    targets: Sequence[str] = ()  # URNs, with * and ** as the CLI takes them
    excludes: Sequence[str] = ()  # likewise
    run_program: bool = True  # for destroy and refresh: whether the program runs, so that its hooks exist
    client: str = ""  # address of an inline program's LanguageRuntime (`--client`)
    policy_packs: Sequence[PolicyPackRef] = ()
    exec_kind: str = "cli"


@dataclass(frozen=True)
class UpdateRequest:
    """Everything one update needs; it reads nothing else from the machine but the program."""

    kind: Literal["preview", "update", "refresh", "destroy"]
    dry_run: bool  # preview of the kind: `preview` is kind "preview" with dry_run, `refresh --preview-only` refresh with dry_run
    project: Project
    stack: str
    organization: str
    config: Mapping[str, str]  # decrypted, fully qualified keys ("rollout:modules")
    secret_keys: frozenset[str]
    snapshot: Snapshot
    options: UpdateOptions = field(default_factory=UpdateOptions)


@dataclass(frozen=True)
class UpdateResult:
    """How an update ended. ``changes`` counts operations by their name in the CLI's summary (create, same, ...)."""

    ok: bool
    changes: Mapping[str, int]
    cancelled: bool = False
    error: str = ""  # why the update did not begin, if no event tells it


# An event is the JSON object of ``apitype.EngineEvent`` without sequence and timestamp, e.g. {"resourcePreEvent": {...}}.
Event = dict[str, Any]
Emit = Callable[[Event], None]
Save = Callable[[Snapshot], None]
