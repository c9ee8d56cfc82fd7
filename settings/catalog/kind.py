"""What a kind of module is: how its settings become the workloads, variables and files of one version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..environment import Variable, combined
from ..gateway import Part
from ..module import ModuleSettings, Resources, WorkerSettings
from ..versions import Version

if TYPE_CHECKING:
    from ..model import StackSettings

S = TypeVar("S", bound=ModuleSettings, covariant=True)


@dataclass(frozen=True)
class Context(Generic[S]):
    """A module in its stack.

    Args:
        name: of the module, its Service and its database's last part.
        module: its own settings.
        stack: those of the whole stack.
        version: to run.
    """

    name: str
    module: S
    stack: StackSettings
    version: Version

    @property
    def debug(self) -> bool:
        """Whether it says more than usual."""
        return self.stack.debug if self.module.debug is None else self.module.debug

    def setting(self, path: str) -> str:
        """The full name of one of the module's settings."""
        return f"rollout:modules.{self.name}.{path}"


@dataclass(frozen=True)
class Port:
    """A port of a container."""

    name: str
    number: int


@dataclass(frozen=True)
class File:
    """A configuration file in a ConfigMap of its own, made anew when its content changes.

    Args:
        folder: it is mounted at.
        name: in that folder.
        content: of the file.
    """

    folder: str
    name: str
    content: str


@dataclass(frozen=True)
class Role:
    """One workload of a module: its API, or the worker beside it.

    Args:
        name: "api" or "worker".
        args: of the container.
        env: of the container, without a name that is there twice.
        ports: of the container; the Service sends to the one named ``http``.
        probed: whether its first port answers HTTP probes; of one that does not, the first port must take connections.
        singleton: one unversioned Deployment that is stopped before its next version starts.
        replicas: of it.
        resources: of its container.
        files: configuration it mounts.
    """

    name: str
    args: tuple[str, ...]
    env: tuple[Variable, ...]
    ports: tuple[Port, ...]
    replicas: int
    resources: Resources
    probed: bool = True
    singleton: bool = False
    files: tuple[File, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Everything of one version of a module that its kind decides.

    Args:
        api: the workload behind the module's Service.
        worker: the one beside it, which is deployed first; None for most kinds.
        database: variables that tell how to connect to the module's database; empty without one.
        migration: variables of the migration Job; empty without a database.
    """

    api: Role
    worker: Role | None
    database: tuple[Variable, ...]
    migration: tuple[Variable, ...]


class Kind(Generic[S]):
    """A kind of module. One instance serves all stacks; what differs is in the context.

    Attributes:
        name: in the settings, and of the image below ``ghcr.io/formancehq/``.
        settings: the model of its modules' settings.
        defaults: settings under those of the module, over ``rollout:defaults``.
        oldest: the first semantic version that works; None if every one does.
        before_oldest: why those before it do not.
        publishes: whether it tells the broker what happened.
        consumes: whether it listens to what the others publish.
        hears_itself: whether it listens to what it publishes, too.
        routed: whether the gateway sends it ``/api/<name>``.
        enterprise: whether it asks for a licence.
        needs_broker: whether it cannot run without.
        command: of its image, where nothing else is asked of it.
        debug_flag: whether its command takes ``--debug``.
        telemetry_name: of its spans and metrics; empty if they have the module's.
        scopes: of the client with which it calls other modules; empty if it calls none.
    """

    name: ClassVar[str] = "custom"
    settings: ClassVar[type[ModuleSettings]] = ModuleSettings
    defaults: ClassVar[Mapping[str, Any]] = {}
    oldest: ClassVar[str | None] = None
    before_oldest: ClassVar[str] = "is built differently"
    publishes: ClassVar[bool] = False
    consumes: ClassVar[bool] = False
    hears_itself: ClassVar[bool] = False
    routed: ClassVar[bool] = True
    enterprise: ClassVar[bool] = False
    needs_broker: ClassVar[bool] = False
    command: ClassVar[tuple[str, ...]] = ("serve",)
    debug_flag: ClassVar[bool] = False
    telemetry_name: ClassVar[str] = ""
    scopes: ClassVar[tuple[str, ...]] = ()

    def variables(self, c: Context[S]) -> Iterable[Variable]:
        """The environment of every role of the module, in order."""
        raise NotImplementedError

    def api_variables(self, c: Context[S]) -> Iterable[Variable]:
        """What the API has besides; nothing, if the kind does not say otherwise."""
        return ()

    def beside(
        self,
        settings: WorkerSettings,
        env: Iterable[Variable],
        ports: tuple[Port, ...],
        *,
        args: tuple[str, ...] = ("worker",),
        probed: bool = True,
    ) -> Role:
        """A worker: one process beside the API, never in two versions at once."""
        return Role(
            "worker",
            args,
            tuple(env),
            ports,
            settings.replicas,
            settings.resources,
            probed=probed,
            singleton=True,
        )

    def worker(self, c: Context[S]) -> Role | None:
        """The workload beside the API; none, if the kind does not say otherwise."""
        return None

    def migration_variables(self, c: Context[S]) -> Iterable[Variable]:
        """What the migration needs besides the database."""
        return ()

    def api(self, c: Context[S]) -> Role:
        module = c.module
        env = combined([*self.variables(c), *self.api_variables(c)], module.env, c.setting("env"))
        return Role(
            "api",
            module.args,
            env,
            (Port("http", module.port),),
            module.replicas,
            module.resources,
        )

    def plan(self, c: Context[S]) -> Plan:
        """Everything of one version of a module."""
        from .variables import postgres

        worker = self.worker(c)
        if worker:
            own = getattr(c.module, "worker", WorkerSettings()).env
            env = combined(worker.env, c.module.env, c.setting("env"))
            worker = replace(worker, env=combined(env, own, c.setting("worker.env")))
        api = self.api(c)
        if self.debug_flag and c.debug:
            # The variable DEBUG is not read any more from go-libs v5.6 on (pkg/service/flags.go, BindEnvToFlagSet).
            api = replace(api, args=(*(api.args or self.command), "--debug"))
            worker = replace(worker, args=(*worker.args, "--debug")) if worker else None
        database = tuple(postgres(c)) if c.module.database else ()
        migration: tuple[Variable, ...] = ()
        if c.module.database:
            own = c.module.migration.env
            migration = combined([*database, *self.migration_variables(c)], own, c.setting("migration.env"))
        return Plan(api, worker, database, migration)

    def image(self, c: Context[S]) -> str:
        """The image's repository, before the registries' settings."""
        return c.module.image

    def needs_temporal(self, version: Version) -> bool:
        """Whether a version cannot run without Temporal, whose work it does."""
        return False

    def parts(self, c: Context[S]) -> tuple[Part, ...]:
        """What of the module's interface its worker answers."""
        return ()

    def defaults_at(self, version: Version) -> Mapping[str, Any]:
        """The defaults of a version."""
        return self.defaults

    def refusal(self, version: Version) -> str | None:
        """Why a version cannot be deployed; None if it can, as far as anybody knows."""
        if self.oldest and version.is_older_than(Version(self.oldest)):
            return f"is not supported: {self.name} before {self.oldest} {self.before_oldest}"
        return None

    def problems(self, c: Context[S]) -> Iterator[str]:
        """What is missing in the stack for a module of this kind, besides what holds for all."""
        yield from ()
